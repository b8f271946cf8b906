//! Words that say what a prompt is about, found by their first eight letters.

/// What a word speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the words stand in the table below")]
pub enum Class {
    Code,
    Keyword,
    Mathematics,
    Proof,
    Quantity,
    Unit,
    Fact,
    What,
    Why,
    Reasoning,
    Negation,
    Document,
    Extraction,
    Creative,
    Greeting,
    Translation,
    Summary,
    Analysis,
    Field,
    Science,
    Limits,
    Plain,
    Common,
}

/// How many classes there are.
pub const CLASSES: usize = 23;

/// The names of the classes, as a reader sees them.
pub const NAMES: [&str; CLASSES] = [
    "programming",
    "code keywords",
    "mathematics",
    "proofs",
    "quantities",
    "units",
    "facts",
    "what",
    "why, how",
    "conditions",
    "negations",
    "a document",
    "taking out",
    "creative writing",
    "small talk",
    "translation",
    "a summary",
    "analysis",
    "a profession's terms",
    "science",
    "demands on the answer",
    "something simple",
    "small words",
];

/// The words of each class, in the order of [`Class`].
const WORDS: [&str; CLASSES] = [
    "function python javascript typescript code coding program sql regex api compile compiler bug debug rust java \
     script implement html css bash linux docker kubernetes database query algorithm unittest refactor endpoint \
     backend frontend react golang kotlin swift numpy pandas git",
    "def return for while import const let var int void public static class self print elif lambda none null true \
     false else assert append range str len struct fn async await",
    "equation integral calculate compute probability polynomial triangle derivative matrix solve theorem sum product \
     integer integers angle circle radius perimeter area fraction algebra geometry calculus arithmetic ratio root \
     graph vertices modulo divisible prime",
    "prove proof derive lemma corollary qed induction contradiction rigorous rigorously hence",
    "each every per total twice half times more less many much remaining left percent average altogether double \
     triple number",
    "dollars dollar cents hours hour minutes minute days weeks week month months miles pounds feet inches years \
     meters gallons",
    "who when where which define definition capital named founded invented meaning",
    "what",
    "why how explain",
    "if suppose assume then therefore implies because puzzle logic logical deduce given unless whether either",
    "not except never without false incorrect least cannot neither nor",
    "document passage article report contract text paper context excerpt paragraph attached pdf transcript chapter \
     according",
    "extract parse fields json csv entities list identify classify label categorize tag column columns names emails",
    "story poem write song lyrics novel character fiction haiku imagine essay blog email letter slogan tweet joke \
     sonnet creative roleplay screenplay",
    "hi hello hey thanks thank please sorry ok okay bye morning evening cool nice lol yes you",
    "translate translation spanish french german chinese japanese english italian portuguese russian korean arabic \
     hindi",
    "summarize summarise summary tldr shorten condense gist recap abridge bullet",
    "analyze analyse compare contrast evaluate critique assess tradeoff tradeoffs design architecture strategy plan \
     optimize optimise review synthesize comprehensive complex thorough detailed diagnose justify recommend",
    "court plaintiff defendant statute jurisdiction contractor patient diagnosis clinical symptoms therapy disease \
     treatment legal tax accounting balance equity liability police constitutional",
    "energy mass velocity force molecule acid cell cells gene electron temperature pressure reaction voltage current \
     protein chemical species evolution planet atom",
    "must exactly only avoid include including words sentences format step steps ensure constraint constraints \
     require requirements",
    "simple simply quick quickly short brief briefly basic easy",
    "the of and to in a is that it was for on are as with his they at be this from have or by one had but were all we \
     their an which there been has he she its him her would could should will can may",
];

/// A word's first eight bytes in small letters, the later bytes in the higher places; 0 is no word.
pub type Key = u64;

/// Spreads a key over all bits. The constant is 2^64 over the golden ratio, as in Fibonacci hashing.
#[inline]
pub const fn spread(key: Key) -> u64 {
    let product = key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    product ^ product >> 29
}

/// Places of the table, each for one word.
const PLACES: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 13;

/// Spreads words so that no two meet in a place; where words are added, another odd number may have to be tried, which the
/// compiler says.
const APART: u64 = 0xFE48_4E49_0BD5_D213;

/// Bits of a class.
const CLASS_BITS: u32 = 5;

/// Each place holds some more bits of its word's hash, then its class; without a word it holds [`CLASSES`].
static TABLE: [u16; PLACES] = table();

/// The place of a word, with the bits that are held there.
#[inline]
const fn place(hash: u64) -> (usize, u16) {
    let apart = hash.wrapping_mul(APART);
    let held = (apart >> (64 - PLACE_BITS - 11)) as u16 & 0x7ff;
    ((apart >> (64 - PLACE_BITS)) as usize, held << CLASS_BITS)
}

const fn table() -> [u16; PLACES] {
    let mut table = [CLASSES as u16; PLACES];
    let mut class = 0;
    while class < CLASSES {
        let words = WORDS[class].as_bytes();
        let mut at = 0;
        while at < words.len() {
            let mut key = 0;
            let mut length = 0;
            while at < words.len() && words[at] != b' ' {
                if length < 8 {
                    key |= ((words[at] | 0x20) as u64) << (8 * length);
                }
                length += 1;
                at += 1;
            }
            let (place, held) = place(spread(key));
            if length > 0 && table[place] != CLASSES as u16 {
                // Of two words with the same beginning the first stays.
                assert!(
                    table[place] >> CLASS_BITS == held >> CLASS_BITS,
                    "two words meet: try another `APART`"
                );
            } else if length > 0 {
                table[place] = held | class as u16;
            }
            at += 1;
        }
        class += 1;
    }
    table
}

/// The class of a word with this hash; [`CLASSES`] if it has none.
#[inline]
pub fn class(hash: u64) -> usize {
    let (place, held) = place(hash);
    let word = TABLE[place];
    // No branch depends on the word: which words come is what a processor cannot foresee.
    if word & !0x1f == held { usize::from(word & 0x1f) } else { CLASSES }
}
