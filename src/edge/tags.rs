//! Reads what a request is counted under: the tags of its key, with those of its client.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use axum::http::{HeaderMap, HeaderName};

use crate::{
    base::tag,
    pipeline::{Code, Refusal},
};

use super::wishes::text;

static NONE: LazyLock<Arc<BTreeMap<String, String>>> = LazyLock::new(Arc::default);

const HEADER: &str = "x-weir-tags";
const NAME: HeaderName = HeaderName::from_static(HEADER);

/// The tags of whoever has no key.
pub fn none() -> &'static Arc<BTreeMap<String, String>> {
    &NONE
}

/// The tags of a key with those in `x-weir-tags`. A client may only set tags that are listed in `allowed`, and none
/// that its key has.
///
/// # Errors
/// The header and the tag at fault.
pub fn read(
    headers: &HeaderMap,
    allowed: &[String],
    own: &Arc<BTreeMap<String, String>>,
) -> Result<Arc<BTreeMap<String, String>>, Box<Refusal>> {
    if !headers.contains_key(NAME) {
        return Ok(Arc::clone(own));
    }
    let right = format!(
        "a comma-separated list of 1 to {} tags `name=value`, a name being {}, a value {}",
        tag::MOST,
        tag::NAME_FORM,
        tag::VALUE_FORM
    );
    let Some(list) = text(headers, HEADER, &right)? else {
        return Ok(Arc::clone(own));
    };
    let bad = || Refusal::bad_header(HEADER, &right);
    let mut tags = BTreeMap::new();
    for (at, word) in list.split(',').enumerate() {
        let (name, value) = word.split_once('=').map(|(n, v)| (n.trim(), v.trim())).ok_or_else(bad)?;
        if at >= tag::MOST || !tag::is_name(name) || !tag::is_value(value) {
            return Err(bad().into());
        }
        if !allowed.iter().any(|allowed| allowed == name) {
            return Err(refused(name, "is not one that clients may set here (auth.client_tags)"));
        }
        if own.contains_key(name) {
            return Err(refused(name, "is set by the API key itself, which no client can override"));
        }
        if tags.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(refused(name, "stands there twice"));
        }
    }
    tags.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(Arc::new(tags))
}

fn refused(name: &str, why: &str) -> Box<Refusal> {
    let message = format!("In the header `{HEADER}`, the tag `{name}` {why}.");
    Refusal { param: Some(HEADER.to_owned()), ..Refusal::new(Code::InvalidHeader, message) }.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Arc<BTreeMap<String, String>> {
        Arc::new(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    fn with(value: &str) -> Result<Arc<BTreeMap<String, String>>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, value.parse().unwrap());
        let allowed = ["user".to_owned(), "app".to_owned(), "team".to_owned()];
        read(&headers, &allowed, &tags(&[("team", "support")])).map_err(|refusal| {
            assert_eq!((refusal.code, refusal.param.as_deref()), (Code::InvalidHeader, Some(HEADER)));
            refusal.message
        })
    }

    #[test]
    fn a_clients_tags_join_those_of_its_key() {
        let all = tags(&[("app", "web/2"), ("team", "support"), ("user", "42")]);
        assert_eq!(with("user=42, app=web/2").unwrap(), all);
        let own = tags(&[("team", "support")]);
        assert!(Arc::ptr_eq(&read(&HeaderMap::new(), &[], &own).unwrap(), &own));
    }

    #[test]
    fn names_the_tag_at_fault() {
        for (value, tag) in
            [("team=x", "`team` is set"), ("other=x", "`other` is not one"), ("user=1,user=2", "twice")]
        {
            let message = with(value).unwrap_err();
            assert!(message.contains(tag) && message.contains(HEADER), "{message}");
        }
        let many = (0..17).map(|at| format!("t{at}=x")).collect::<Vec<_>>().join(",");
        for bad in [
            "",
            "user",
            "user=",
            "=x",
            "user=a b",
            "user=a,,app=b",
            "us er=a",
            "user=a=b",
            &many,
            &format!("user={}", "x".repeat(129)),
        ] {
            assert!(with(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_a_tag(text in "(user|app|team|x)?=?[ -~]{0,9}(,user=[a-z ,=]{0,9})?") {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, text.parse().unwrap());
            let own = tags(&[("team", "support")]);
            if let Ok(all) = read(&headers, &["user".into(), "app".into()], &own) {
                prop_assert_eq!(all["team"].as_str(), "support");
                prop_assert!(all.iter().all(|(name, value)| tag::is_name(name) && tag::is_value(value)));
                prop_assert!(all.keys().all(|name| ["user", "app", "team"].contains(&name.as_str())));
            }
        }
    }
}
