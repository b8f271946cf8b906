//! The set of virtual keys: who a presented key belongs to.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::distr::{Alphanumeric, SampleString as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    base::{map::NameMap, secret::Secret},
    config,
};

/// The longest key that is looked at, in bytes: hashing what a stranger sends stays cheap.
pub const MAX_LENGTH: usize = 512;

/// How many random bytes a generated key carries.
const RANDOM_BYTES: usize = 32;

type Digest = [u8; 32];
type Id = [u8; 8];

/// Tells who holds a key from whoever held one of the same name before: another secret, another holder. The secret does
/// not follow from it, nor its hash.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Holder([u8; 16]);

impl Holder {
    fn of(digest: &Digest) -> Self {
        let hash = Sha256::new().chain_update(b"holder").chain_update(digest).finalize();
        Self(std::array::from_fn(|at| hash[at]))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Holder(..)")
    }
}

/// Who presented a key, with what that key may do.
#[derive(Clone, Debug)]
pub struct VirtualKey {
    name: Arc<str>,
    routes: Option<HashSet<String>>,
    models: Option<HashSet<String>>,
    rpm: u32,
    tpm: u32,
    max_concurrent: u32,
    requests_per_month: u64,
    tags: Arc<BTreeMap<String, String>>,
    holder: Holder,
    /// Whether it is Weir's own.
    own: bool,
}

impl VirtualKey {
    /// What it is called in logs, metrics and reports.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether it may ask for this route.
    pub fn may_use_route(&self, route: &str) -> bool {
        self.routes.as_ref().is_none_or(|routes| routes.contains(route))
    }

    /// Whether it may name this model directly, as a model's name or as `provider/model`.
    pub fn may_use_model(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|models| models.contains(model))
    }

    /// Requests a minute; 0: no limit.
    pub fn rpm(&self) -> u32 {
        self.rpm
    }

    /// Tokens a minute, questions and answers together; 0: no limit.
    pub fn tpm(&self) -> u32 {
        self.tpm
    }

    /// Requests under way at once; 0: no limit.
    pub fn max_concurrent(&self) -> u32 {
        self.max_concurrent
    }

    /// Requests a calendar month (UTC); 0: no quota.
    pub fn requests_per_month(&self) -> u64 {
        self.requests_per_month
    }

    /// What its requests are counted under.
    pub fn tags(&self) -> &Arc<BTreeMap<String, String>> {
        &self.tags
    }

    /// Who holds it; names are given again, holders are not.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// A key of Weir's own, for calls that nobody else asked for: without any limit but those of budgets.
    pub fn own(name: &str) -> Self {
        Self {
            name: name.into(),
            routes: None,
            models: None,
            rpm: 0,
            tpm: 0,
            max_concurrent: 0,
            requests_per_month: 0,
            tags: Arc::default(),
            holder: Holder::default(),
            own: true,
        }
    }

    /// Whether it is one of Weir's own.
    pub fn is_own(&self) -> bool {
        self.own
    }

    fn from_config(key: &config::Key) -> Self {
        let set = |names: &Option<Vec<String>>| names.as_ref().map(|list| list.iter().cloned().collect());
        Self {
            name: key.name.as_str().into(),
            routes: set(&key.routes),
            models: set(&key.models),
            rpm: key.rpm,
            tpm: key.tpm,
            max_concurrent: key.max_concurrent,
            requests_per_month: key.requests_per_month,
            tags: Arc::new(key.tags.clone()),
            holder: Holder::default(),
            own: false,
        }
    }
}

#[derive(Clone)]
struct Entry {
    digest: Digest,
    key: Arc<VirtualKey>,
}

/// The virtual keys by the digest of their secret; no secret is kept.
#[derive(Clone, Default)]
pub struct KeyRing {
    /// By the first bytes of the digest. A list, since two digests may begin alike.
    by_id: NameMap<Id, Vec<Entry>>,
    /// The names of all keys, also of those that are off.
    names: HashSet<String>,
    warnings: Vec<String>,
}

impl KeyRing {
    /// This ring of configured keys with keys that were made at run time. A key that cannot stand beside the
    /// configured ones is left out, see [`KeyRing::warnings`].
    #[must_use]
    pub fn with_made<'a>(&self, made: impl IntoIterator<Item = &'a config::Key>) -> Self {
        let mut ring = self.clone();
        for key in made {
            let off = if ring.names.contains(&key.name) {
                Some("the configuration has a key of this name".to_owned())
            } else {
                match key.hash.as_deref().and_then(parse_hash) {
                    None => Some("its hash cannot be read".to_owned()),
                    Some(digest) => ring
                        .insert(digest, VirtualKey::from_config(key))
                        .err()
                        .map(|other| format!("it has the same secret as key `{other}`")),
                }
            };
            match off {
                Some(why) => ring.warnings.push(format!("the ledger's key `{}` is off: {why}", key.name)),
                None => {
                    ring.names.insert(key.name.clone());
                }
            }
        }
        ring
    }

    /// Resolves the configured keys. A key whose secret is unset is left out, see [`KeyRing::warnings`].
    ///
    /// # Errors
    /// Every fault of every key: neither or both of `secret` and `hash`, a hash that is none, a secret that
    /// cannot be read or is too long, a name or a secret that is used twice.
    pub fn build(keys: &[config::Key]) -> Result<Self, Vec<String>> {
        let mut ring = Self::default();
        let mut faults = Vec::new();
        let mut names = HashSet::new();
        for (index, key) in keys.iter().enumerate() {
            let place = format!("keys[{index}] (`{}`)", key.name);
            if key.name.is_empty() {
                faults.push(format!("keys[{index}].name: is empty; give the key a name"));
            } else if !names.insert(key.name.as_str()) {
                faults.push(format!("{place}: another key has this name; give each its own"));
            }
            match digest_of(key) {
                Ok(Some(digest)) => {
                    if let Err(other) = ring.insert(digest, VirtualKey::from_config(key)) {
                        faults.push(format!(
                            "{place}: has the same secret as key `{other}`; give each its own"
                        ));
                    }
                }
                Ok(None) => {
                    let source = key.secret.as_ref().map(ToString::to_string).unwrap_or_default();
                    ring.warnings.push(format!("{place}: {source} is unset; the key is off"));
                }
                Err(fault) => faults.push(format!("{place}: {fault}")),
            }
        }
        ring.names = names.into_iter().map(str::to_owned).collect();
        if faults.is_empty() { Ok(ring) } else { Err(faults) }
    }

    /// The key that this text is, if it is one. What it costs does not depend on the number of keys, nor on how
    /// much of the text is right.
    pub fn find(&self, presented: &str) -> Option<Arc<VirtualKey>> {
        if presented.is_empty() || presented.len() > MAX_LENGTH {
            return None;
        }
        let digest = digest(presented);
        let entries = self.by_id.get(&id_of(&digest))?;
        entries.iter().find(|entry| entry.digest.ct_eq(&digest).into()).map(|entry| Arc::clone(&entry.key))
    }

    /// Every key, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<VirtualKey>> {
        self.by_id.values().flatten().map(|entry| &entry.key)
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether no key can be used.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Which keys were left out, each as a sentence for the log.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Takes a key in, or names the one that has this digest already.
    fn insert(&mut self, digest: Digest, key: VirtualKey) -> Result<(), Arc<str>> {
        let entries = self.by_id.entry(id_of(&digest)).or_default();
        if let Some(same) = entries.iter().find(|entry| entry.digest == digest) {
            return Err(Arc::clone(&same.key.name));
        }
        let key = VirtualKey { holder: Holder::of(&digest), ..key };
        entries.push(Entry { digest, key: Arc::new(key) });
        Ok(())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("keys", &self.len()).finish_non_exhaustive()
    }
}

/// A new key: the text to give away once, and the hash to keep.
#[derive(Clone, Debug)]
pub struct Generated {
    /// `sk-weir-`, eight characters that tell keys apart, `-`, and 256 random bits as base64url.
    pub secret: Secret,
    /// `sha256:` and 64 hexadecimal digits, as `[[keys]] hash` takes it.
    pub hash: String,
}

/// Makes a new key.
pub fn generate() -> Generated {
    let mut random = [0_u8; RANDOM_BYTES];
    // This generator is seeded by the operating system and fit for secrets.
    rand::fill(&mut random);
    let id = Alphanumeric.sample_string(&mut rand::rng(), 8);
    let text = format!("sk-weir-{id}-{}", URL_SAFE_NO_PAD.encode(random));
    let hash = hash_text(&text);
    Generated { secret: Secret::new(text), hash }
}

/// The written hash of a key: `sha256:` and 64 hexadecimal digits.
pub fn hash_text(secret: &str) -> String {
    use fmt::Write as _;
    let mut text = String::from("sha256:");
    for byte in digest(secret) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The digest of a configured key; `None` where its secret is unset.
fn digest_of(key: &config::Key) -> Result<Option<Digest>, String> {
    match (&key.secret, &key.hash) {
        (Some(_), Some(_)) => Err("has both `secret` and `hash`; keep one".into()),
        (None, None) => Err("has neither `secret` nor `hash`; `weir keys new` makes both".into()),
        (None, Some(hash)) => parse_hash(hash).map(Some).ok_or_else(|| {
            "`hash` has to be `sha256:` and 64 hexadecimal digits, as `weir keys new` prints it".into()
        }),
        (Some(source), None) => match source.resolve()? {
            Some(secret) if secret.expose().len() > MAX_LENGTH => {
                Err(format!("the secret is longer than {MAX_LENGTH} bytes"))
            }
            secret => Ok(secret.map(|secret| digest(secret.expose()))),
        },
    }
}

fn parse_hash(text: &str) -> Option<Digest> {
    let digits = text.strip_prefix("sha256:")?.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut digest = Digest::default();
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        let nibble = |digit: u8| char::from(digit).to_digit(16);
        let value = nibble(pair[0])? * 16 + nibble(pair[1])?;
        *byte = u8::try_from(value).ok()?;
    }
    Some(digest)
}

fn digest(text: &str) -> Digest {
    Sha256::digest(text.as_bytes()).into()
}

fn id_of(digest: &Digest) -> Id {
    let mut id = Id::default();
    id.copy_from_slice(&digest[..8]);
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SecretSource;

    fn key(name: &str) -> config::Key {
        config::Key {
            name: name.into(),
            secret: None,
            hash: None,
            routes: None,
            models: None,
            rpm: 0,
            tpm: 0,
            max_concurrent: 0,
            requests_per_month: 0,
            tags: Default::default(),
        }
    }

    fn with_secret(name: &str, secret: &str) -> config::Key {
        config::Key { secret: Some(SecretSource::parse(secret)), ..key(name) }
    }

    #[test]
    fn finds_a_key_by_its_secret_or_by_its_hash() {
        let made = generate();
        let hashed = config::Key { hash: Some(made.hash.clone()), ..key("hashed") };
        let ring = KeyRing::build(&[with_secret("plain", "sk-one"), hashed]).unwrap();
        assert_eq!(&**ring.find("sk-one").unwrap().name(), "plain");
        assert_eq!(&**ring.find(made.secret.expose()).unwrap().name(), "hashed");
        assert_eq!(ring.len(), 2);
        for wrong in ["", "sk-on", "sk-one ", "SK-ONE", &made.hash, &"x".repeat(MAX_LENGTH + 1)] {
            assert!(ring.find(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_made_key_never_takes_the_place_of_a_configured_one() {
        let hashed = |name: &str, secret: &str| config::Key { hash: Some(hash_text(secret)), ..key(name) };
        let ring =
            KeyRing::build(&[with_secret("one", "sk-one"), with_secret("off", "env:WEIR_TEST_SURELY_UNSET")])
                .unwrap();
        let made = [
            hashed("one", "sk-other"),
            hashed("off", "sk-off"),
            hashed("same", "sk-one"),
            config::Key { hash: Some("sha256:1".into()), ..key("bad") },
            config::Key { tpm: 7, ..hashed("two", "sk-two") },
        ];
        let all = ring.with_made(&made);
        assert_eq!((all.len(), all.warnings().len()), (2, 5), "{:?}", all.warnings());
        assert_eq!(&**all.find("sk-one").unwrap().name(), "one");
        assert_eq!(all.find("sk-two").unwrap().tpm(), 7);
        assert!(all.find("sk-other").is_none() && all.find("sk-off").is_none());
        assert!(ring.with_made(&[]).find("sk-two").is_none());
        assert!(!all.warnings().join("").contains("sha256"));
    }

    #[test]
    fn digests_that_begin_alike_stay_apart() {
        let mut ring = KeyRing::default();
        let right = digest("sk-one");
        let mut near = right;
        near[31] ^= 1;
        ring.insert(near, VirtualKey::from_config(&key("near"))).unwrap();
        assert!(ring.find("sk-one").is_none());
        ring.insert(right, VirtualKey::from_config(&key("right"))).unwrap();
        assert_eq!(&**ring.find("sk-one").unwrap().name(), "right");
    }

    #[test]
    fn a_key_without_its_secret_is_off_with_a_warning() {
        let ring = KeyRing::build(&[with_secret("later", "env:WEIR_TEST_SURELY_UNSET")]).unwrap();
        assert!(ring.is_empty());
        assert_eq!(
            ring.warnings(),
            ["keys[0] (`later`): env:WEIR_TEST_SURELY_UNSET is unset; the key is off"]
        );
    }

    #[test]
    fn tells_every_fault_and_no_secret() {
        let bad_hash = config::Key { hash: Some("sha256:12".into()), ..key("bad-hash") };
        let both = config::Key { hash: Some(hash_text("x")), ..with_secret("both", "sk-canary") };
        let keys =
            [key("none"), bad_hash, both, with_secret("one", "sk-canary"), with_secret("one", "sk-canary")];
        let faults = KeyRing::build(&keys).unwrap_err();
        assert_eq!(faults.len(), 5, "{faults:#?}");
        assert!(!faults.join("").contains("sk-canary"));
    }

    #[test]
    fn grants_are_all_where_absent_or_just_those_listed() {
        let free = VirtualKey::from_config(&key("free"));
        assert!(free.may_use_route("any") && free.may_use_model("any/thing"));
        let bound = VirtualKey::from_config(&config::Key {
            routes: Some(vec!["auto".into()]),
            models: Some(vec![]),
            ..key("bound")
        });
        assert!(bound.may_use_route("auto") && !bound.may_use_route("Auto"));
        assert!(!bound.may_use_model("gpt-4.1"));
    }

    #[test]
    fn a_generated_key_has_its_form_and_differs_from_the_next() {
        let (one, two) = (generate(), generate());
        let text = one.secret.expose();
        assert_eq!(text.len(), "sk-weir-".len() + 8 + 1 + 43);
        assert!(text.starts_with("sk-weir-"));
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
        assert!(!two.secret.matches(text));
        assert_eq!(parse_hash(&one.hash), Some(digest(text)));
        assert_eq!(
            hash_text("abc"),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn nothing_shows_a_secret() {
        let ring = KeyRing::build(&[with_secret("plain", "sk-canary")]).unwrap();
        let found = ring.find("sk-canary").unwrap();
        assert!(!format!("{ring:?} {found:?} {:?}", generate()).contains("sk-"));
    }
}
