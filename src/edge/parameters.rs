//! The parameters in an address, like `?since=7d&by=model`.

use axum::http::Uri;

use crate::pipeline::{Code, Refusal};

/// The parameters of a request, decoded.
#[derive(Debug)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads them.
    ///
    /// # Errors
    /// One that is not among `known`, or one that stands there twice.
    pub fn read(uri: &Uri, known: &[&str]) -> Result<Self, Box<Refusal>> {
        let mut read: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            if !known.contains(&&*name) {
                let shown: String = name.chars().take(100).collect();
                return Err(bad(&shown, &format!("it is not known here: there are {}", known.join(", "))));
            }
            if read.iter().any(|(before, _)| *before == name) {
                return Err(bad(&name, "it is given twice"));
            }
            read.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(read))
    }

    /// The value of one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of one, read by `parse`.
    ///
    /// # Errors
    /// What `parse` says is wrong with it.
    pub fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Box<Refusal>> {
        self.get(name).map(|value| parse(value).map_err(|problem| bad(name, &problem))).transpose()
    }
}

/// The refusal of a request for one of its parameters.
pub fn bad(name: &str, problem: &str) -> Box<Refusal> {
    let refusal = Refusal::new(Code::InvalidRequest, format!("The parameter `{name}`: {problem}."));
    Box::new(Refusal { param: Some(name.to_owned()), ..refusal })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Parameters, Box<Refusal>> {
        Parameters::read(&format!("/admin/ledger?{query}").parse().unwrap(), &["key", "limit"])
    }

    #[test]
    fn values_are_decoded() {
        let parameters = read("key=team%2Fa+b%26c&limit=").unwrap();
        assert_eq!((parameters.get("key"), parameters.get("limit")), (Some("team/a b&c"), Some("")));
        assert_eq!(read("").unwrap().get("key"), None);
        assert_eq!(Parameters::read(&"/x".parse().unwrap(), &[]).unwrap().get("key"), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, param, words) in
            [("limits=1", "limits", "there are key, limit"), ("key=a&key=b", "key", "given twice")]
        {
            let refusal = read(query).unwrap_err();
            assert_eq!(refusal.param.as_deref(), Some(param));
            assert!(refusal.message.contains(words), "{}", refusal.message);
        }
        let number = |text: &str| text.parse::<u8>().map_err(|_| "it must be a number".to_owned());
        let refusal = read("limit=x").unwrap().parsed("limit", number).unwrap_err();
        assert_eq!(refusal.message, "The parameter `limit`: it must be a number.");
        assert_eq!(read("limit=7").unwrap().parsed("limit", number).unwrap(), Some(7));
    }
}
