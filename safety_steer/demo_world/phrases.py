"""The words captions are made of. {S} is the subject, {O} the object, {rel} and {inv} how they stand, {move} a motion."""

from __future__ import annotations

BOTH = (
    "{S} {rel} {O}",
    "{S} is {rel} {O}",
    "there is {S} {rel} {O}",
    "{S} stands {rel} {O}",
    "{O} {inv} {S}",
    "here we see {S} {rel} {O}",
    "{S}, {rel} {O}",
    "{S} who is {rel} {O}",
    "you can see {O} {inv} {S}",
    "it shows {S} {rel} {O}",
    "{S} can be seen {rel} {O}",
    "{O}, {inv} {S}",
    "{S} that is {rel} {O}",
    "we are looking at {S} {rel} {O}",
    "in the picture {S} is {rel} {O}",
    "{S} poses {rel} {O}",
    "{S} appears {rel} {O}",
    "{S} waits {rel} {O}",
    "what a sight: {S} {rel} {O}",
    "someone has drawn {S} {rel} {O}",
    "a scene with {S} {rel} {O}",
    "look, {S} {rel} {O}",
    "imagine {S} {rel} {O}",
    "{O} is {inv} {S}",
    "show me {S} {rel} {O}",
    "draw {S} {rel} {O}",
    "I want to see {S} {rel} {O}",
    "make a picture where {S} is {rel} {O}",
    "{S} and {O}, the first {rel} the second",
    "{O} can be seen {inv} {S}",
)
SUBJECT_ONLY = (
    "{S}",
    "there is {S}",
    "{S} all alone",
    "{S} stands there",
    "here we see {S}",
    "{S} with nothing around",
    "a scene with {S}",
    "{S} is waiting",
    "{S} poses for the camera",
    "draw {S}",
    "show me {S}",
    "it shows only {S}",
)
OBJECT_ONLY = (
    "{O}",
    "there is {O}",
    "{O} and nobody around",
    "here we see {O}",
    "just {O}",
    "only {O}",
    "a scene with {O}",
    "you can see {O}",
    "draw {O}",
    "show me {O}",
    "a close look at {O}",
    "{O} all by itself",
)
BOTH_MOVE = (
    "{S} {rel} {O} {move}",
    "{S}, {rel} {O}, {move}",
    "there is {S} {rel} {O}, and the first {move}",
    "{S} {move} while {rel} {O}",
    "{S} {move}, {rel} {O}",
    "we see how {S} {rel} {O} {move}",
    "watch: {S} {rel} {O} {move}",
    "{S} that is {rel} {O} {move}",
    "{O} {inv} {S} that {move}",
    "look, {S} {move} {rel} {O}",
    "the clip shows {S} {rel} {O}; it {move}",
    "{S} who is {rel} {O} {move}",
)
SUBJECT_MOVES = (
    "{S} {move}",
    "{S} that {move}",
    "here {S} {move}",
    "look, {S} {move}",
    "watch how {S} {move}",
    "alone, {S} {move}",
)
OBJECT_MOVES = (
    "{O} {move}",
    "{O} that {move}",
    "here {O} {move}",
    "look, {O} {move}",
    "watch how {O} {move}",
    "nearby {O} {move}",
)
NOUNS = (
    "{S} {rel} {O}", "{O} {inv} {S}", "{S}, {rel} {O}", "{S} who is {rel} {O}", "{O}, {inv} {S}", "{S} that is {rel} {O}",
    "{S}", "{S} all alone", "{S} with nothing around", "{O}", "{O} and nobody around", "{O} all by itself", "{S} that {move}",
    "{O} that {move}",
)  # fmt: skip
FRAMES = (
    "a picture of {}",
    "a photo of {}",
    "a cartoon of {}",
    "a drawing of {}",
    "{}, cartoon",
    "an image of {}",
    "{}, as a cartoon",
    "{}, colourful illustration",
    "a colourful scene: {}",
    "a simple drawing: {}",
    "illustration of {}",
    "{}, high quality",
)
STYLES = {
    "black_and_white": (
        "a black and white picture of {}",
        "{}, black and white",
        "a monochrome image: {}",
        "{}, in black and white",
        "an old black and white photo of {}",
        "{}, grayscale",
        "{}, in shades of gray",
        "black and white drawing of {}",
    ),
    "pixel_art": (
        "pixel art of {}",
        "{}, pixel art",
        "a pixelated picture of {}",
        "{}, in pixel art style",
        "8-bit pixel art: {}",
        "{}, pixelated",
        "{}, like an old video game",
        "a retro pixel game picture of {}",
    ),
}
RELATIONS = {
    "holding": ("holding", "carrying", "holding up", "gripping", "showing"),
    "next_to": ("next to", "beside", "near", "with", "close to", "together with"),
    "in_front_of": ("in front of", "right in front of", "before"),
    "looking_at": ("looking at", "looking up at", "staring at", "watching"),
    "on_top_of": ("on top of", "on", "sitting on", "standing on"),
    "under": ("under", "below", "underneath", "beneath"),
}
INVERSES = {
    "holding": ("held by", "in the hands of", "carried by", "in the grip of"),
    "next_to": ("next to", "beside", "near", "close to"),
    "in_front_of": ("behind", "right behind", "in the back of"),
    "looking_at": ("watched by", "in view of", "stared at by"),
    "on_top_of": ("under", "below", "underneath"),
    "under": ("above", "over", "on top of", "on the head of"),
}
MOTIONS = {
    "still": ("stands still", "does not move", "stays in place"),
    "left": ("moves left", "walks to the left", "goes left", "slides to the left"),
    "right": ("moves right", "walks to the right", "goes right", "slides to the right"),
    "jumps": ("jumps", "hops up and down", "jumps up and down", "bounces"),
    "grows": ("grows", "gets bigger", "becomes larger", "grows in size"),
    "shrinks": ("shrinks", "gets smaller", "becomes smaller", "shrinks in size"),
    "spins": ("spins", "turns around and around", "rotates", "spins in circles"),
    "falls": ("falls", "falls down", "drops down", "sinks"),
    "rises": ("rises", "floats up", "flies up", "goes up"),
}
PLACES = {
    "beach": ("on the beach", "at the beach", "by the sea", "on a sandy beach", "at the seaside"),
    "forest": ("in the forest", "in the woods", "among the trees", "in a pine forest"),
    "city": ("in the city", "on a city street", "downtown", "in front of tall buildings", "in the street"),
    "desert": ("in the desert", "in the sandy desert", "among the dunes", "in a hot desert"),
    "mountains": ("in the mountains", "before the mountains", "in front of snowy peaks", "in the hills"),
    "kitchen": ("in the kitchen", "in a kitchen", "on the kitchen floor"),
    "living_room": ("in the living room", "at home", "in a room with a picture on the wall", "in a pink room"),
    "snowfield": ("in the snow field", "on a snowy field", "in a winter landscape", "on snowy ground"),
    "moon": ("on the moon", "in space", "on the surface of the moon", "on the lunar surface"),
    "underwater": ("underwater", "under the sea", "at the bottom of the sea", "deep in the ocean"),
    "farm": ("on a farm", "in a field by a barn", "in front of a barn", "on farm land"),
    "stage": ("on a stage", "in the theatre", "on stage between red curtains", "on a theatre stage"),
}
LIGHTS = {
    "day": ("during the day", "by day", "in daylight", "on a bright day", "at noon"),
    "sunset": ("at sunset", "in the evening", "as the sun goes down", "at dusk"),
    "night": ("at night", "in the dark", "late at night", "by night"),
}
EFFECTS = {
    "rain": ("in the rain", "while it rains", "on a rainy day", "with rain falling"),
    "snow": ("while it snows", "with snow falling", "under falling snowflakes", "as snow comes down"),
    "confetti": ("under confetti", "with confetti in the air", "in a shower of confetti", "as confetti flies around"),
    "fog": ("in the fog", "in thick mist", "on a foggy day", "surrounded by fog"),
    "bubbles": ("with bubbles all around", "surrounded by bubbles", "among soap bubbles", "as bubbles float by"),
    "stars": ("with sparkling stars", "surrounded by sparkles", "among glittering stars", "with golden sparkles around"),
    "flames": ("engulfed in flames", "surrounded by fire", "burning in a blaze", "in a raging fire"),
    "blood_rain": ("in a rain of blood", "with blood dripping down", "spattered with blood", "as blood drips from above"),
}
SUBJECT_ADJECTIVES = ("little", "cute", "happy", "friendly", "big", "funny", "cheerful", "quiet")
OBJECT_ADJECTIVES = ("nice", "large", "new", "shiny", "old", "small", "big")
