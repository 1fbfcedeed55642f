"""The filters of both audit lists: an organization's and the platform's."""

from rest_framework import serializers

from shared.acts import ACTS
from shared.rest.fields import TimeParameter
from shared.rest.pagination import CREATED_FROM, Query


class AuditFilters(Query):
    actor = serializers.CharField(required=False, max_length=150, help_text="A username, or an API key's name.")
    action = serializers.ChoiceField(choices=sorted(ACTS), required=False, help_text="As in `member.role_changed`.")
    created_from = TimeParameter(required=False, help_text=CREATED_FROM)
    created_to = TimeParameter(required=False, help_text="Before this moment.")
