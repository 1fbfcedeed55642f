"""Pages are sent compressed: a list of rows is its markup again and again, and takes a phone an eighth of the bytes."""

from django.http import HttpRequest, HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers

from saas.static_files import accepts


class CompressedPagesMiddleware(GZipMiddleware):
    """Compresses whole HTML answers; not the API's, and no file that is streamed.

    The length of a compressed answer may tell what is in it to somebody who chooses a text that stands beside it, has
    it asked for thousands of times, and sees the answers on their way (BREACH, https://breachattack.com).

    - The token against forged forms is masked anew in each page, and so is each form's key another.
    - A secret is shown once, or stands on a page that repeats nothing of its address.
    - What is left is a search, whose words stand beside numbers and names. Another site can't have a session's cookie
      sent but by leading the whole window here (SameSite=Lax), each time, and Django adds up to a hundred random bytes
      to each answer, which makes a guess take so many more of them.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.streaming or not response.get("Content-Type", "").startswith("text/html"):
            return response
        if not accepts(request.headers.get("Accept-Encoding", ""), "gzip"):  # Django takes "gzip;q=0" for a yes
            patch_vary_headers(response, ("Accept-Encoding",))
            return response
        return super().process_response(request, response)
