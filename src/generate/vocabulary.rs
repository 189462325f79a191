//! Words: who, where, what stands around, and what things are called.

/// A place where scenes are set.
#[derive(Clone, Copy)]
pub(super) struct Location {
    /// The label of its scenes, and what it is called in dialogue.
    pub(super) name: &'static str,
    /// What stands around there.
    pub(super) props: &'static [&'static str],
}

const fn place(name: &'static str, props: &'static [&'static str]) -> Location {
    Location { name, props }
}

/// Where scenes are set; the first ones are the sets of the first series.
pub(super) const LOCATIONS: &[Location] = &[
    place("kitchen", &["coffee mug", "fridge", "frying pan", "toaster", "wine glass", "pizza box", "kettle", "apron"]),
    place(
        "living room",
        &["sofa", "television", "lamp", "telephone", "guitar", "recliner", "bookshelf", "remote control"],
    ),
    place("coffee house", &["coffee mug", "sofa", "guitar", "menu", "newspaper", "muffin", "counter", "umbrella"]),
    place("street", &["taxi", "umbrella", "bicycle", "street lamp", "hot dog stand", "newspaper", "dog", "mailbox"]),
    place("office", &["desk", "computer", "telephone", "stapler", "whiteboard", "briefcase", "coffee mug", "printer"]),
    place("hallway", &["door", "keys", "suitcase", "mailbox", "plant", "laundry basket", "umbrella"]),
    place("bedroom", &["bed", "pillow", "mirror", "alarm clock", "wardrobe", "book", "lamp"]),
    place("balcony", &["plant", "candle", "telescope", "wine glass", "folding chair", "pigeon"]),
    place("restaurant", &["menu", "candle", "wine glass", "plate", "tablecloth", "piano", "waiter's tray"]),
    place("park", &["bench", "frisbee", "dog", "bicycle", "picnic basket", "kite", "fountain"]),
    place("hospital", &["bed", "wheelchair", "flowers", "clipboard", "monitor", "white coat"]),
    place("airport", &["suitcase", "passport", "departure board", "trolley", "coffee mug", "aeroplane"]),
    place("bar", &["bottle", "wine glass", "jukebox", "bar stool", "dartboard", "neon sign"]),
    place("museum", &["painting", "statue", "dinosaur skeleton", "guide book", "bench", "rope barrier"]),
    place("rooftop", &["water tank", "antenna", "folding chair", "string lights", "pigeon", "telescope"]),
    place("subway", &["turnstile", "map", "newspaper", "backpack", "headphones", "bench"]),
    place("theater", &["stage", "curtain", "spotlight", "script", "microphone", "costume"]),
    place("laundromat", &["washing machine", "laundry basket", "detergent", "folding chair", "sock"]),
    place("beach", &["towel", "surfboard", "sandcastle", "cooler", "seashell", "sunglasses"]),
    place("courtroom", &["gavel", "bench", "briefcase", "flag", "microphone", "photograph"]),
];

/// Names; the first six are the cast of the first series.
pub(super) const NAMES: &[&str] = &[
    "Joey", "Monica", "Rachel", "Chandler", "Phoebe", "Ross", "Janice", "Gunther", "Carol", "Emily", "Alma", "Bruno",
    "Celia", "Dario", "Edith", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Leon", "Mila", "Noor", "Oscar",
    "Priya", "Quentin", "Rosa", "Stellan", "Tamar", "Ugo", "Vera", "Wanda", "Xavier", "Yara", "Zoë",
];

/// The title of the first series; its asset ids begin with it.
pub(super) const FIRST_TITLE: &str = "coffee-house";

/// The first words of all other titles.
pub(super) const TITLE_BEGINNINGS: &[&str] = &[
    "quiet", "crimson", "northern", "broken", "golden", "hidden", "last", "paper", "silver", "wild", "winter",
    "second", "distant", "electric", "borrowed", "midnight",
];

/// Their second words.
pub(super) const TITLE_ENDINGS: &[&str] = &[
    "harbor", "lantern", "orchard", "signal", "tide", "garden", "railway", "mountain", "verdict", "summer", "island",
    "letters", "horizon", "carnival", "bridge", "kingdom",
];

/// What is said. `{place}` is any location of the title, `{name}` another one in the scene, `{absent}` anybody of the
/// cast, `{thing}` a thing that stands around, `{past}` and `{soon}` times, `{dish}` a dish.
pub(super) const SENTENCES: &[&str] = &[
    "Has anybody seen the {thing}?",
    "I left the {thing} in the {place}.",
    "Meet me in the {place} {soon}.",
    "{name}, are you even listening to me?",
    "I can't believe {absent} did that {past}.",
    "We should get out of the {place}, {name}.",
    "You know what I need? {dish}.",
    "There is {dish} in the {place}, help yourself.",
    "No, no, no. That is not what happened in the {place}.",
    "Why is there a {thing} on my chair?",
    "{absent} is waiting in the {place}.",
    "I was in the {place} with {absent} {past}.",
    "Could you pass me the {thing}, please?",
    "Oh, that is just great.",
    "{name}! What are you doing here?",
    "Don't tell {absent}, but I ate all the {dish}.",
    "I think I am in love, {name}.",
    "Who paints a {place} green?",
    "We need to talk about {absent}.",
    "It was not me, it was the {thing}.",
    "So {past} I walk into the {place}, and there is {absent}.",
    "You two have fun. I will be in the {place}.",
    "That is my {thing}, {name}, put it down.",
    "I make one mistake, and {soon} everybody knows.",
    "Is it me, or does the {place} smell of {dish}?",
    "Okay, okay. First the {dish}, and then we leave.",
    "This {thing} is older than the whole café.",
    "How many times have we rehearsed this, {name}?",
];

/// Times past, for `{past}`.
pub(super) const PAST: &[&str] = &["last night", "this morning", "on Thursday", "after the show", "yesterday"];

/// Times to come, for `{soon}`.
pub(super) const SOON: &[&str] = &["tomorrow", "at noon", "in five minutes", "on Friday", "after dinner"];

/// Dishes, for `{dish}`.
pub(super) const DISHES: &[&str] =
    &["pizza", "lasagna", "cheesecake", "turkey", "soup", "pancakes", "leftover curry", "crème brûlée"];
