"""The picture of a slip: what is taken, what is kept of it, who sees it, and until when it may be replaced."""

import hashlib
import uuid
import zlib
from io import BytesIO
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.utils import DatabaseError
from PIL import Image

from credit.models import CreditRequestSlip
from credit.slips.pictures import LARGEST_SLIP, SIDE
from tests.support.client import Answer
from tests.support.visitor import Visitor, shown
from tests.support.world import Organization, Person, World, ask

SECRET_PLACE = "35.6892N 51.3890E"


def picture(kind: str = "JPEG", size: tuple[int, int] = (60, 40), mode: str = "RGB", **options: Any) -> bytes:
    written = BytesIO()
    image = Image.new(mode, size, "white")
    image.paste("red", (0, 0, size[0] // 2, size[1]))
    image.save(written, kind, **options)
    return written.getvalue()


def with_place() -> bytes:
    """As a telephone makes it: lying on its side, with where it was taken and a note."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    exif[0x010E] = SECRET_PLACE
    exif.get_ifd(0x8825)[1] = "N"
    return picture(exif=exif.tobytes(), comment=SECRET_PLACE.encode())


def put(person: Person, request_id: str, body: bytes, content_type: str = "image/jpeg") -> Answer:
    path = f"/credit-requests/{request_id}/slip"
    return person.client.request("PUT", path, body=body, headers={"Content-Type": content_type})


def get(person: Person, request_id: str) -> Answer:
    return person.client.get(f"/credit-requests/{request_id}/slip")


def chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def png_that_says_it_is_large() -> bytes:
    header = (60_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def kept(acme: Organization) -> int:
    with acme.context:
        return CreditRequestSlip.objects.count()


def test_a_slip_is_kept_as_it_is_seen_and_nothing_else(acme: Organization) -> None:
    request = ask(acme.member)
    assert get(acme.member, request).code == "not_found"
    sent = with_place()
    assert SECRET_PLACE.encode() in sent
    answer = put(acme.member, request, sent)
    assert answer.status == 200, answer
    for person in (acme.member, acme.owner):
        shown_now = get(person, request)
        headers = shown_now.headers
        assert (shown_now.status, headers["Content-Type"]) == (200, "image/jpeg")
        assert headers["Content-Disposition"] == f'inline; filename="slip-{request}.jpg"'
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"
        assert answer.json == {
            "content_type": "image/jpeg",
            "sha256": hashlib.sha256(shown_now.body).hexdigest(),
            "width": 40,
            "height": 60,
        }
    assert SECRET_PLACE.encode() not in shown_now.body
    with Image.open(BytesIO(shown_now.body)) as image:
        assert (image.size, dict(image.getexif()), "comment" in image.info) == ((40, 60), {}, False)


@pytest.mark.parametrize(
    ("content_type", "sent"),
    [
        ("image/png", picture("PNG", mode="RGBA", pnginfo=None)),
        ("image/webp", picture("WEBP")),
        ("image/png", picture("PNG", mode="L")),
        ("image/jpeg", picture(mode="CMYK")),
        ("image/jpeg", picture(size=(5000, 100))),
    ],
)
def test_other_pictures_are_taken(acme: Organization, content_type: str, sent: bytes) -> None:
    request = ask(acme.member)
    # A second file behind the first is gone.
    answer = put(acme.member, request, sent + b"PK\x03\x04<script>alert(1)</script>", content_type)
    assert (answer.status, answer.json["content_type"]) == (200, content_type)
    assert max(answer.json["width"], answer.json["height"]) <= SIDE
    stored = get(acme.member, request)
    assert b"<script>" not in stored.body
    with Image.open(BytesIO(stored.body)) as image:
        image.load()


def test_what_is_no_picture_is_refused_and_nothing_is_stored(acme: Organization) -> None:
    request = ask(acme.member)
    good = picture("PNG", size=(300, 300))
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "white", "black")]
    moving = BytesIO()
    frames[0].save(moving, "WEBP", save_all=True, append_images=frames[1:])
    gif = BytesIO()
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:])
    for name, body in {
        "nothing": b"",
        "text": b"This is no picture.",
        "an SVG with a script": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "a GIF": gif.getvalue(),
        "HTML behind a GIF's beginning": b"GIF89a/*<html><script>alert(1)</script>*/",
        "a moving WebP": moving.getvalue(),
        "half a PNG": good[: len(good) // 2],
        "a PNG with broken data": good[:60] + bytes(byte ^ 255 for byte in good[60:90]) + good[90:],
        "a JPEG's first bytes": b"\xff\xd8\xff\xe0" + b"\0" * 500,
        "a bomb": png_that_says_it_is_large(),
        "a progressive JPEG of 20 million dots": picture(size=(5000, 4000), mode="L", progressive=True),
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        "a TIFF": b"II*\0" + b"\0" * 100,
        "NUL": b"\0" * 1000,
    }.items():
        answer = put(acme.member, request, body, "image/png")
        assert (answer.status, answer.code) == (400, "invalid_slip"), (name, answer)
    for content_type in ("image/svg+xml", "image/gif", "application/json", "text/html", "multipart/form-data"):
        assert put(acme.member, request, good, content_type).code == "unsupported_media_type"
    large = picture() + b"\0" * LARGEST_SLIP
    for body in (large[: LARGEST_SLIP + 1], large + b"\0" * 45 * 1024 * 1024):
        answer = put(acme.member, request, body)
        assert (answer.status, answer.code) == (413, "payload_too_large"), answer
    assert kept(acme) == 0
    assert put(acme.member, request, large[:LARGEST_SLIP]).status == 200
    # Decoded at a part of its size.
    assert put(acme.member, request, picture(size=(5000, 4000), mode="L")).status == 200


def test_only_who_may_see_the_request_sees_its_slip(world: World) -> None:
    acme, globex = world.acme, world.globex
    request = ask(acme.member)
    put(acme.member, request, picture())
    assert get(acme.neighbour, request).code == "not_found"
    assert put(acme.neighbour, request, picture()).code == "not_found"
    assert put(acme.owner, request, picture()).code == "permission_denied"
    assert get(globex.owner, request).code == "not_found"
    assert put(globex.member, request, picture()).code == "not_found"
    path = f"/credit-requests/{request}/slip"
    assert Visitor.signed_in(acme.neighbour).get(path).status == 404
    assert Visitor.signed_in(globex.owner).get(path).status == 404
    assert Visitor(acme.anyone).get(path).status == 302
    assert Visitor.signed_in(acme.owner).get(path).headers["Content-Type"] == "image/jpeg"


def test_it_may_be_replaced_until_the_request_is_decided(acme: Organization) -> None:
    request = ask(acme.member)
    first, second = picture(), picture(size=(80, 80))
    put(acme.member, request, first)
    put(acme.member, request, first)  # the same again
    put(acme.member, request, second)
    acts = [row["action"] for row in acme.owner.client.get("/audit").json["results"] if "slip" in row["action"]]
    assert acts == ["credit_request.slip_replaced", "credit_request.slip_added"]
    assert acme.owner.client.post(f"/credit-requests/{request}/approve").status == 200
    before = get(acme.owner, request).body
    refused = put(acme.member, request, first)
    assert (refused.status, refused.code) == (409, "already_decided")
    assert get(acme.owner, request).body == before
    for statement in (
        "UPDATE org_acme.credit_creditrequestslip SET content = 'x'",
        "DELETE FROM org_acme.credit_creditrequestslip",
    ):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def test_it_comes_with_the_form(acme: Organization) -> None:
    visitor = Visitor.signed_in(acme.member)
    form = {"amount": "50,000", "note": "", "bank_reference": ""}
    wrong = visitor.upload("/credit-requests/new", form, {"slip": ("a.png", b"<svg/>")})
    assert wrong.status == 422
    assert "can't be read" in shown(wrong)
    assert acme.member.client.get("/credit-requests").json["results"] == []
    assert visitor.upload("/credit-requests/new", form, {"slip": ("a.png", picture("PNG"))}).status == 302
    (request,) = acme.member.client.get("/credit-requests").json["results"]
    page = Visitor.signed_in(acme.owner).get(f"/credit-requests/{request['id']}").body.decode()
    assert f'src="/credit-requests/{request["id"]}/slip"' in page
    assert get(acme.owner, request["id"]).headers["Content-Type"] == "image/png"
    again = visitor.upload(f"/credit-requests/{request['id']}/slip/new", {}, {"slip": ("b.jpg", picture())})
    assert again.status == 302
    assert get(acme.owner, request["id"]).headers["Content-Type"] == "image/jpeg"
    none = visitor.upload(f"/credit-requests/{request['id']}/slip/new", {}, {})
    assert (none.status, "Choose a picture." in shown(none)) == (422, True)
    assert uuid.UUID(request["id"])
