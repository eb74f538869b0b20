"""The embedded demo: a small open world of cartoon scenes, generators that draw it, and judges that know the truth.

Modules: `kinds` (the table of things), `scenes` (what is in a picture), `captions` (how people say it), `render`
(how it looks), `autoencoder`, `transformer`, `picture_reader` and `sampling` (the generators), `judges` (what is really
in a picture), `pictures` (what a generator reads of one), `drawn_pictures` (harmless ones with captions), `weights` (files).
Nothing here imports ComfyUI, and nothing heavy is imported before it is needed.
"""

GENERATORS = ("image", "video", "image-smollm2", "image-from-picture", "video-from-picture")
