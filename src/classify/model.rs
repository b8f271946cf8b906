//! The trained model: weights of word pairs, trees over counts, in the form that ships.
//!
//! The file: `WEIRCLS1`, the length of a readable header as `u32`, the header, then `f32` numbers and weights as they stand
//! in [`Model`], at the end the SHA-256 of all before it. All numbers are little-endian. Nothing but sums of whole numbers,
//! with plain multiplications and divisions after them, makes a score, so that it is the same on every platform.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::{
    features::{self, FEATURES},
    fit::{linear::Line, trees::Boosted},
    forest::{DEPTH, LEAVES, Tree},
    scan::{Scan, Sink},
};

/// Weights of words, of pairs of words, by the first 16 bits of their hash.
pub const GRAMS: usize = 1 << 16;

/// Levels of complexity.
pub const LEVELS: usize = 10;

/// Added to the number of words that a sum of weights is divided by, so that a few words say little.
pub const FEW: f64 = 4.0;

const MAGIC: &[u8; 8] = b"WEIRCLS1";
const DIGEST: usize = 32;
/// The most trees of a model: what fits into 100 KiB.
const MOST_TREES: usize = 2000;

/// A trained model.
#[derive(Clone, PartialEq)]
pub struct Model {
    /// When it was trained, on what, how well it did; text for people.
    pub header: String,
    /// What is added to each score.
    pub bias: f32,
    /// What a unit of the weights of words is worth.
    pub gram_unit: f32,
    /// What a unit of a leaf is worth.
    pub leaf_unit: f32,
    /// The scores from which on a prompt is of each complexity above 1, ascending.
    pub edges: [f32; LEVELS - 1],
    /// The weights of words, each an `i8`.
    pub grams: Box<[u8; GRAMS]>,
    /// The trees.
    pub trees: Vec<Packed>,
}

/// A tree with whole numbers at its leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// What each question asks about.
    features: [u8; DEPTH],
    /// Where it cuts.
    cuts: [f32; DEPTH],
    /// What is said at each leaf, in units.
    leaves: [i16; LEAVES],
}

/// A file that is no model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadModel(&'static str);

impl fmt::Display for BadModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a classifier's model: {}", self.0)
    }
}

impl std::error::Error for BadModel {}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trees = self.trees.len();
        f.debug_struct("Model").field("header", &self.header).field("trees", &trees).finish_non_exhaustive()
    }
}

/// Sums weights up.
struct Sum<'a> {
    grams: &'a [u8; GRAMS],
    sum: i32,
}

impl Sink for Sum<'_> {
    #[inline]
    fn gram(&mut self, hash: u64) {
        self.sum += i32::from(self.grams[gram(hash)].cast_signed());
    }
}

/// The unit in which a share of all values is at most `limit`.
fn unit(values: impl Iterator<Item = f64>, limit: f64, share: f64) -> f64 {
    let mut sizes: Vec<f64> = values.map(f64::abs).filter(|size| *size > 0.0).collect();
    sizes.sort_by(f64::total_cmp);
    let at = (sizes.len() as f64 * share).ceil() as usize;
    sizes.get(at.saturating_sub(1)).map_or(1.0, |size| size / limit)
}

/// Takes the weight of the first word.
struct First<'a> {
    grams: &'a [u8; GRAMS],
    weight: Option<i8>,
}

impl Sink for First<'_> {
    fn gram(&mut self, hash: u64) {
        self.weight.get_or_insert(self.grams[gram(hash)].cast_signed());
    }
}

/// The place of a word's weight.
#[inline]
pub fn gram(hash: u64) -> usize {
    (hash >> 48) as usize
}

impl Packed {
    /// A tree whose leaves are counted in `unit`.
    pub fn new(tree: &Tree, unit: f32) -> Self {
        let pack = |leaf: f32| (leaf / unit).round().clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        Self { features: tree.features, cuts: tree.cuts, leaves: tree.leaves.map(pack) }
    }

    fn unpacked(&self, unit: f32) -> Tree {
        Tree {
            features: self.features,
            cuts: self.cuts,
            leaves: self.leaves.map(|leaf| f32::from(leaf) * unit),
        }
    }

    #[inline]
    fn leaf(&self, features: &[f32; 256]) -> i16 {
        let mut leaf = 0;
        for bit in 0..DEPTH {
            leaf |= usize::from(features[usize::from(self.features[bit])] > self.cuts[bit]) << bit;
        }
        self.leaves[leaf]
    }

    fn explain(&self, features: &[f32; 256], unit: f64, parts: &mut [f64]) {
        let mean =
            |leaves: &[i16]| leaves.iter().map(|leaf| f64::from(*leaf)).sum::<f64>() / leaves.len() as f64;
        let mut leaves = self.leaves.to_vec();
        for (feature, cut) in self.features.iter().zip(&self.cuts) {
            let feature = usize::from(*feature);
            let above = usize::from(features[feature] > *cut);
            // The first question's answer is in the lowest bit of a leaf's place.
            let next: Vec<i16> = leaves.iter().copied().skip(above).step_by(2).collect();
            parts[feature] += unit * (mean(&next) - mean(&leaves));
            leaves = next;
        }
    }
}

impl Model {
    /// The model that adds a line over words and trees over counts up. It has no levels yet.
    pub fn made_of(line: &Line, boosted: &Boosted) -> Self {
        let gram_unit = unit(line.weights.iter().copied(), f64::from(i8::MAX), 0.9995);
        let leaves = boosted.trees.iter().flat_map(|tree| tree.leaves).map(f64::from);
        let leaf_unit = unit(leaves, f64::from(i16::MAX), 1.0);
        let mut grams = Box::new([0; GRAMS]);
        for (gram, weight) in grams.iter_mut().zip(&line.weights) {
            let limit = f64::from(i8::MAX);
            *gram = ((weight / gram_unit).round().clamp(-limit, limit) as i8).cast_unsigned();
        }
        Self {
            header: String::new(),
            bias: (line.bias + boosted.bias) as f32,
            gram_unit: gram_unit as f32,
            leaf_unit: leaf_unit as f32,
            edges: [0.0; LEVELS - 1],
            grams,
            trees: boosted.trees.iter().map(|tree| Packed::new(tree, leaf_unit as f32)).collect(),
        }
    }

    /// This model, as the line and the trees that it is made of.
    pub fn parted(&self) -> (Line, Boosted) {
        let weight = |gram: &u8| f64::from(self.gram_unit) * f64::from(gram.cast_signed());
        let trees = self.trees.iter().map(|tree| tree.unpacked(self.leaf_unit)).collect();
        let line = Line { weights: self.grams.iter().map(weight).collect(), bias: f64::from(self.bias) };
        (line, Boosted { bias: 0.0, trees })
    }

    /// Reads a text; its score, and what was counted.
    pub fn score(&self, text: &str) -> (f64, Scan) {
        let mut sum = Sum { grams: &self.grams, sum: 0 };
        let scan = Scan::of(text, &mut sum);
        (self.of(sum.sum, &scan), scan)
    }

    fn of(&self, sum: i32, scan: &Scan) -> f64 {
        // Any `u8` is a place in it.
        let mut all = [0.0; 256];
        all[..FEATURES].copy_from_slice(&features::of(scan));
        let leaves: i32 = self.trees.iter().map(|tree| i32::from(tree.leaf(&all))).sum();
        let words = f64::from(self.gram_unit) * f64::from(sum) / (f64::from(scan.tokens()) + FEW);
        f64::from(self.bias) + words + f64::from(self.leaf_unit) * f64::from(leaves)
    }

    /// The weight of a word that stands alone.
    pub fn word(&self, word: &str) -> f64 {
        let mut first = First { grams: &self.grams, weight: None };
        Scan::of(word, &mut first);
        f64::from(self.gram_unit) * f64::from(first.weight.unwrap_or_default())
    }

    /// How much each feature moved the score of a text: at each question of a tree the mean of the leaves that are left
    /// moves; the feature asked about moved it (Saabas, 2014).
    pub fn parts(&self, text: &str) -> Vec<f64> {
        let mut all = [0.0; 256];
        all[..FEATURES].copy_from_slice(&features::of(&Scan::of(text, &mut ())));
        let mut parts = vec![0.0; 256];
        for tree in &self.trees {
            tree.explain(&all, f64::from(self.leaf_unit), &mut parts);
        }
        parts
    }

    /// The level of a score, 1 to 10.
    pub fn level(&self, score: f64) -> u8 {
        1 + self.edges.iter().filter(|edge| score >= f64::from(**edge)).count() as u8
    }

    /// The file of this model.
    pub fn write(&self) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.extend((self.header.len() as u32).to_le_bytes());
        file.extend(self.header.as_bytes());
        for number in [self.bias, self.gram_unit, self.leaf_unit].iter().chain(&self.edges) {
            file.extend(number.to_le_bytes());
        }
        file.extend(self.grams.iter());
        file.extend((self.trees.len() as u32).to_le_bytes());
        for tree in &self.trees {
            file.extend(tree.features);
            file.extend(tree.cuts.iter().flat_map(|cut| cut.to_le_bytes()));
            file.extend(tree.leaves.iter().flat_map(|leaf| leaf.to_le_bytes()));
        }
        let digest = Sha256::digest(&file);
        file.extend(digest);
        file
    }

    /// Reads the file of a model.
    ///
    /// # Errors
    /// It is none, or it is damaged.
    pub fn read(file: &[u8]) -> Result<Self, BadModel> {
        let (rest, digest) = file.split_last_chunk::<DIGEST>().ok_or(BadModel("it is too short"))?;
        if Sha256::digest(rest).as_slice() != digest {
            return Err(BadModel("its checksum does not fit"));
        }
        let mut reader = Reader(rest);
        if reader.take::<8>()? != MAGIC {
            return Err(BadModel("it begins with another mark"));
        }
        let length = reader.number()? as usize;
        let header = reader.some(length)?.to_vec();
        let header = String::from_utf8(header).map_err(|_| BadModel("its header is no text"))?;
        let (bias, gram_unit, leaf_unit) = (reader.finite()?, reader.finite()?, reader.finite()?);
        let mut edges = [0.0; LEVELS - 1];
        for edge in &mut edges {
            *edge = reader.finite()?;
        }
        if !edges.is_sorted() {
            return Err(BadModel("its levels are out of order"));
        }
        let grams = Box::new(*reader.take::<GRAMS>()?);
        let count = reader.number()? as usize;
        if count > MOST_TREES {
            return Err(BadModel("it has too many trees"));
        }
        let trees = (0..count).map(|_| reader.tree()).collect::<Result<_, _>>()?;
        match reader.0.is_empty() {
            true => Ok(Self { header, bias, gram_unit, leaf_unit, edges, grams, trees }),
            false => Err(BadModel("it is too long")),
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn some(&mut self, length: usize) -> Result<&'a [u8], BadModel> {
        let (some, rest) = self.0.split_at_checked(length).ok_or(BadModel("it ends too early"))?;
        self.0 = rest;
        Ok(some)
    }

    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], BadModel> {
        let (some, rest) = self.0.split_first_chunk::<N>().ok_or(BadModel("it ends too early"))?;
        self.0 = rest;
        Ok(some)
    }

    fn number(&mut self) -> Result<u32, BadModel> {
        self.take().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// A number that is one; cuts may be infinite.
    fn float(&mut self) -> Result<f32, BadModel> {
        let number = f32::from_le_bytes(*self.take()?);
        if number.is_nan() { Err(BadModel("it has something that is no number")) } else { Ok(number) }
    }

    /// A number of which there is an end.
    fn finite(&mut self) -> Result<f32, BadModel> {
        let number = self.float()?;
        if number.is_finite() { Ok(number) } else { Err(BadModel("it has a number without end")) }
    }

    fn tree(&mut self) -> Result<Packed, BadModel> {
        let features = *self.take::<DEPTH>()?;
        let mut cuts = [0.0; DEPTH];
        for cut in &mut cuts {
            *cut = self.float()?;
        }
        let mut leaves = [0; LEAVES];
        for leaf in &mut leaves {
            *leaf = i16::from_le_bytes(*self.take()?);
        }
        Ok(Packed { features, cuts, leaves })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Builtin;

    #[test]
    fn a_file_that_makes_no_sense_is_refused() {
        let broken = |change: fn(&mut Model)| {
            let mut model = Builtin::new().model().clone();
            change(&mut model);
            Model::read(&model.write()).err().map(|bad| bad.to_string()).unwrap_or_default()
        };
        assert_eq!(broken(|_| {}), "");
        assert!(broken(|model| model.bias = f32::INFINITY).contains("without end"));
        assert!(broken(|model| model.edges[3] = f32::NEG_INFINITY).contains("without end"));
        assert!(broken(|model| model.gram_unit = f32::NAN).contains("no number"));
        assert!(broken(|model| model.edges[0] = 1e9).contains("out of order"));
    }
}
