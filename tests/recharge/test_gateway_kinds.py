"""A kind of gateway is one row: what the API, the pages and the delivery know of it comes from there."""

import uuid
from dataclasses import replace
from typing import Any

import pytest
from django.utils import translation

from recharge.api.settings import NewGatewaySerializer
from recharge.delivery.gateways import Answer, Delivery, GatewayOptions
from recharge.delivery.gateways.kinds import KINDS, Kind, gateways_of
from recharge.models import GatewaySettings, OperatorSettings
from recharge.pages import words
from recharge.pages.settings import USUAL_KIND, GatewayForm, GatewayOptionsForm, NewGatewayForm
from recharge.terms import queries
from recharge.terms.services import change_gateway, create_gateway
from shared.errors import InvalidRequest
from shared.outbound.secrets import decrypt
from tests.support.bad_input import table
from tests.support.visitor import Visitor, text_of
from tests.support.world import Organization

SECRET = "a secret of theirs"


class TelexGateway:
    kind = "telex"

    def __init__(self, options: GatewayOptions) -> None:
        self.options = options

    def submit(self, reference: uuid.UUID, phone_number: str, operator: str, amount: int) -> Answer:
        return Answer(Delivery.SUCCEEDED)

    def inquire(self, reference: uuid.UUID, phone_number: str, operator: str, amount: int) -> Answer:
        return Answer(Delivery.SUCCEEDED)


TELEX = Kind(TelexGateway.kind, "Telex", "Sends a telex.", TelexGateway, needs=("key_id",), may_have=("secret",))


@pytest.fixture
def telex(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "telex", TELEX)


def create(organization: Organization, **given: Any) -> GatewaySettings:
    with organization.context:
        return create_gateway(**{"organization": organization.row, "by": "owner", "kind": "telex", **given})


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_row_names_what_there_is(kind: Kind) -> None:
    settings = {*kind.needs, *kind.may_have}
    assert len(settings) == len(kind.needs) + len(kind.may_have)
    assert settings <= GatewayOptionsForm.base_fields.keys()
    assert settings <= NewGatewaySerializer().fields.keys()
    assert settings <= {field.name for field in GatewaySettings._meta.get_fields()}
    longest = GatewaySettings._meta.get_field("kind").max_length  # type: ignore[union-attr]
    assert KINDS[kind.name] is kind
    assert len(kind.name) <= longest
    assert kind.name in words.KINDS
    assert USUAL_KIND in KINDS


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_it_is_offered_by_the_api_and_the_pages(acme: Organization, kind: Kind) -> None:
    assert kind.name in NewGatewaySerializer().fields["kind"].choices
    assert NewGatewayForm(kind=kind).fields.keys() == {"name", *kind.needs, *kind.may_have}
    with translation.override("en"):
        assert (words.kind_words(kind.name), words.kind_explained(kind.name)) == (kind.label, kind.explanation)
    with translation.override("fa"):
        assert words.kind_words(kind.name) != kind.label
        assert words.kind_explained(kind.name) != kind.explanation


@pytest.mark.parametrize(
    ("given", "fault"),
    table(
        ("nothing that it needs", {}, ("key_id", "required")),
        ("an empty one", {"key_id": ""}, ("key_id", "required")),
        ("what it has not", {"key_id": "k", "url": "https://bank.example"}, ("url", "not_of_this_kind")),
        ("what it needs", {"key_id": "k"}, None),
        ("what it may have", {"key_id": "k", "secret": SECRET}, None),
        ("a time limit, which all have", {"key_id": "k", "read_timeout_ms": 500}, None),
    ),
)
def test_the_row_says_what_a_gateway_must_have(
    acme: Organization, telex: None, given: dict[str, Any], fault: tuple[str, str] | None
) -> None:
    if fault is None:
        assert create(acme, name="wire", **given).kind == "telex"
        return
    with pytest.raises(InvalidRequest) as refused:
        create(acme, name="wire", **given)
    (error,) = refused.value.members["errors"]
    assert (error["field"], error["code"]) == fault
    assert "of kind telex" in error["detail"]


def test_the_form_has_what_the_row_says() -> None:
    form = NewGatewayForm({"name": "wire", "key_id": "", "url": "nonsense"}, kind=TELEX)
    assert list(form.fields) == ["name", "key_id", "secret"]
    assert form.errors == {"key_id": ["Fill this in."]}
    assert NewGatewayForm({"name": "wire", "key_id": "k"}, kind=TELEX).is_valid()
    assert list(GatewayForm(kind=TELEX).fields) == ["key_id", "secret"]
    nothing = replace(TELEX, needs=(), may_have=())
    assert list(NewGatewayForm(kind=nothing).fields) == ["name"]


def test_the_gateway_is_made_with_what_was_set_up(acme: Organization, telex: None) -> None:
    row = create(acme, name="wire", key_id="k", secret=SECRET, connect_timeout_ms=1500)
    assert decrypt(row.secret) == SECRET
    with acme.context:
        made = gateways_of(acme.row)[row.pk]
    assert isinstance(made, TelexGateway)
    assert made.options == GatewayOptions(acme.row.pk, "", "k", SECRET, 1.5, 10.0)
    assert SECRET not in repr(made.options)


def test_a_kind_that_reaches_nobody_is_said_to(
    acme: Organization, telex: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {name for name, kind in KINDS.items() if not kind.delivers} == {"instant", "simulator"}
    row = create(acme, name="wire", key_id="k")
    with acme.context:
        OperatorSettings.objects.create(operator="mci", gateway=row)
        assert queries.gateways_that_deliver_nothing() == []
        monkeypatch.setitem(KINDS, "telex", replace(TELEX, delivers=False))
        assert queries.gateways_that_deliver_nothing() == ["wire"]


def test_a_gateway_of_a_kind_that_is_gone_is_shown_and_takes_nothing(acme: Organization) -> None:
    with acme.context:
        GatewaySettings.objects.create(name="wire", kind="telex")
    owner = Visitor.signed_in(acme.owner)
    assert "telex" in text_of(owner.get("/settings"))
    assert "nothing to change" in text_of(owner.get("/settings/gateways/wire"))
    with acme.context, pytest.raises(InvalidRequest) as refused:
        change_gateway(organization=acme.row, by="owner", name="wire", key_id="k")
    assert refused.value.members["errors"][0]["code"] == "not_of_this_kind"
