"""The base of the API's views."""

from rest_framework import views

METHODS = ["get", "head", "post", "patch", "put", "delete"]
"""What a view may answer. Not OPTIONS, which REST framework would name in ``Allow`` and then refuse."""


class APIView(views.APIView):
    """REST framework's view; any other method is 405, and ``Allow`` names exactly those that are answered."""

    http_method_names = METHODS
    answers_replays = False
    """Whether a POST is let through to a suspended organization, for the answer to what was done before."""
