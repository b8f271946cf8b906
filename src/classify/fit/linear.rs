//! Ridge regression over sparse rows.

/// A row: the columns that are not zero, with their values.
pub type Row = Vec<(u32, f32)>;

/// A fitted line.
#[derive(Clone, Debug)]
pub struct Line {
    /// What stands before each column.
    pub weights: Vec<f64>,
    /// What is added.
    pub bias: f64,
}

impl Line {
    /// The value of a row.
    pub fn at(&self, row: &Row) -> f64 {
        self.bias
            + row
                .iter()
                .map(|(column, value)| self.weights[*column as usize] * f64::from(*value))
                .sum::<f64>()
    }
}

/// What is fitted.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// What is known of each example.
    pub rows: &'a [&'a Row],
    /// What is to be told.
    pub targets: &'a [f64],
    /// How much each example counts, about 1.
    pub importance: &'a [f64],
    /// How many columns there are.
    pub columns: usize,
    /// How strongly weights are drawn to zero.
    pub ridge: f64,
}

/// Enough for the weights to settle; more would only fit noise.
const STEPS: usize = 60;

/// Below this part of the first residual it has settled.
const SETTLED: f64 = 1e-8;

/// Fits a line by conjugate gradients on the normal equations of the centred problem.
pub fn fit(problem: &Problem<'_>) -> Line {
    let total: f64 = problem.importance.iter().sum();
    let mean = |of: &dyn Fn(usize) -> f64| {
        (0..problem.rows.len()).map(|at| problem.importance[at] * of(at)).sum::<f64>()
            / total.max(f64::MIN_POSITIVE)
    };
    let target_mean = mean(&|at| problem.targets[at]);
    let mut means = vec![0.0; problem.columns];
    for (row, importance) in problem.rows.iter().zip(problem.importance) {
        for (column, value) in row.iter() {
            means[*column as usize] += importance * f64::from(*value) / total;
        }
    }
    let centred: Vec<f64> = problem.targets.iter().map(|target| target - target_mean).collect();
    let mut weights = vec![0.0; problem.columns];
    let mut residual = back(problem, &means, &centred);
    let mut direction = residual.clone();
    let mut size = dot(&residual, &residual);
    let first = size;
    for _ in 0..STEPS {
        if size <= first * SETTLED {
            break;
        }
        let forward: Vec<f64> = {
            let shift = dot(&means, &direction);
            problem.rows.iter().map(|row| ahead(row, &direction) - shift).collect()
        };
        let mut image = back(problem, &means, &forward);
        for (image, direction) in image.iter_mut().zip(&direction) {
            *image += problem.ridge * direction;
        }
        let step = size / dot(&direction, &image);
        for at in 0..problem.columns {
            weights[at] += step * direction[at];
            residual[at] -= step * image[at];
        }
        let next = dot(&residual, &residual);
        for (direction, residual) in direction.iter_mut().zip(&residual) {
            *direction = residual + next / size * *direction;
        }
        size = next;
    }
    let bias = target_mean - dot(&means, &weights);
    Line { weights, bias }
}

fn ahead(row: &Row, weights: &[f64]) -> f64 {
    row.iter().map(|(column, value)| weights[*column as usize] * f64::from(*value)).sum()
}

/// The transposed, centred, weighted rows times a vector with an entry for each row.
fn back(problem: &Problem<'_>, means: &[f64], vector: &[f64]) -> Vec<f64> {
    let mut result = vec![0.0; problem.columns];
    let mut sum = 0.0;
    for ((row, importance), entry) in problem.rows.iter().zip(problem.importance).zip(vector) {
        let entry = importance * entry;
        sum += entry;
        for (column, value) in row.iter() {
            result[*column as usize] += entry * f64::from(*value);
        }
    }
    for (result, mean) in result.iter_mut().zip(means) {
        *result -= mean * sum;
    }
    result
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_again() {
        let rows: Vec<Row> = (0..50).map(|n| vec![(0, n as f32), (1, (n * n % 7) as f32)]).collect();
        let rows: Vec<&Row> = rows.iter().collect();
        let targets: Vec<f64> =
            rows.iter().map(|row| 3.0 + 2.0 * f64::from(row[0].1) - f64::from(row[1].1)).collect();
        let importance = vec![1.0; 50];
        let problem =
            Problem { rows: &rows, targets: &targets, importance: &importance, columns: 2, ridge: 1e-6 };
        let line = fit(&problem);
        assert!((line.bias - 3.0).abs() < 1e-3 && (line.weights[0] - 2.0).abs() < 1e-3, "{line:?}");
        let strict = fit(&Problem { ridge: 1e9, ..problem });
        assert!(strict.weights.iter().all(|weight| weight.abs() < 1e-3), "{strict:?}");
    }

    #[test]
    fn nothing_gives_nothing() {
        let line = fit(&Problem { rows: &[], targets: &[], importance: &[], columns: 3, ridge: 1.0 });
        assert!(line.weights.iter().all(|weight| *weight == 0.0));
        assert!(line.bias.is_finite());
    }
}
