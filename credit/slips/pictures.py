"""Reads a picture that somebody has sent, and writes it anew: what is kept is what was seen, and nothing else that came
with it (where it was taken, a second file behind the first, a script)."""

import hashlib
import threading
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageOps

from credit.slips.errors import InvalidSlip, SlipTooLarge, TooManyPixels
from shared.errors import Unavailable

LARGEST_SLIP = 5 * 1024 * 1024
"""Bytes."""

MOST_PIXELS = 16_000_000
"""64 MB when it is decoded. A telephone's picture of more is a JPEG that is not progressive, which is
decoded at a part of its size."""

MOST_PIXELS_OF_JPEG = 120_000_000

SIDE = 2400
"""Pixels of the longer side of what is kept: a slip can be read, and takes some hundred kilobytes."""

FORMATS = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
"""What is taken (MPO: the JPEG of some telephones, with a second picture behind the first), and what is made of it."""

CONTENT_TYPES = tuple(sorted(set(FORMATS.values())))

WAIT_SECONDS = 10.0

_turn = threading.Lock()
"""One at a time in a process: the bound of pixels is a bound of memory only so."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was read and written anew."""

    content: bytes
    content_type: str
    width: int
    height: int

    @property
    def sha256(self) -> str:
        """In hexadecimal digits."""
        return hashlib.sha256(self.content).hexdigest()


def read_picture(sent: bytes) -> Picture:
    """What is kept of a picture of any of FORMATS.

    Raises:
        SlipTooLarge: it has more than 5 MiB.
        TooManyPixels: it has more than can be decoded.
        InvalidSlip: it is no such picture, or a broken or a moving one.
        Unavailable: others have their pictures read just now; nothing was done.
    """
    if len(sent) > LARGEST_SLIP:
        raise SlipTooLarge(most=LARGEST_SLIP)
    if not _turn.acquire(timeout=WAIT_SECONDS):
        raise Unavailable
    try:
        return _read(sent)
    except InvalidSlip:
        raise
    except Exception:  # noqa: BLE001 - a picture that is made to break its reader breaks it in any way
        raise InvalidSlip from None
    finally:
        _turn.release()


def _read(sent: bytes) -> Picture:
    # The formats are named: no reader of any other one (a script that draws, a film) sees what a stranger has sent.
    with Image.open(BytesIO(sent), formats=["JPEG", "PNG", "WEBP"]) as image:
        # Its header says how large it is; nothing is decoded yet.
        content_type = FORMATS[str(image.format)]
        is_jpeg = content_type == "image/jpeg"
        # A progressive one is kept whole until its end has come, however small it is wanted.
        is_decoded_in_part = is_jpeg and not image.info.get("progressive")
        most = MOST_PIXELS_OF_JPEG if is_decoded_in_part else MOST_PIXELS
        if image.width * image.height > most:
            raise TooManyPixels(most=most)
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
            raise InvalidSlip("This is a moving picture.")
        if is_jpeg:
            # At an eighth, a quarter or a half, with its longer side still no smaller than SIDE.
            longer = max(image.size)
            image.draft("RGB", (max(image.width * SIDE // longer, 1), max(image.height * SIDE // longer, 1)))
        if image.width * image.height > MOST_PIXELS:
            raise TooManyPixels(most=MOST_PIXELS)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        image.thumbnail((SIDE, SIDE))
        kept = _bare(image)
    content = _written(kept, content_type)
    if len(content) > LARGEST_SLIP:
        content_type = "image/jpeg"
        content = _written(kept, content_type)
    return Picture(content, content_type, kept.width, kept.height)


def _bare(image: Image.Image) -> Image.Image:
    """The dots alone, on white: a new picture has nothing that its writer would carry on."""
    kept = Image.new("RGB", image.size, "white")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        kept.paste(layer, mask=layer.getchannel("A"))
    else:
        kept.paste(image.convert("RGB"))
    return kept


def _written(image: Image.Image, content_type: str) -> bytes:
    written = BytesIO()
    if content_type == "image/png":
        image.save(written, "PNG")
    elif content_type == "image/webp":
        image.save(written, "WEBP", quality=85)
    else:
        image.save(written, "JPEG", quality=85)
    return written.getvalue()
