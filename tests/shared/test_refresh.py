"""Refresh tokens: each is good once, a second use ends the whole session, and what was withdrawn is not renewed."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

from django.utils import timezone
from django_tenants.utils import tenant_context

from credit.models import AuditRecord
from credit.services import update_seller
from shared.identity.realm import PLATFORM, Realm
from shared.identity.signing_in import TokenPair, sign_in
from shared.models import Membership, SignIn, User
from tests.support.client import Answer, Client
from tests.support.world import PASSWORD, Organization, Person, World
from tests.tenants.forgery import FORGERIES, claims_of, signed


def session_of(person: Person) -> TokenPair:
    realm = Realm(person.row.pk, person.row.slug) if person.row else PLATFORM
    with tenant_context(person.row) if person.row else nullcontext():
        return sign_in(realm=realm, username=person.username, password=PASSWORD, address="192.0.2.1")


def refresh(client: Client, token: str) -> Answer:
    return client.post("/auth/token/refresh", {"refresh": token})


def refused(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.code


SPENT = (401, "token_invalid")


def test_a_refresh_gives_a_new_pair_for_the_same_account(world: World, acme: Organization) -> None:
    for anyone, person in (
        (acme.anyone, acme.member),
        (acme.anyone, acme.owner),
        (world.platform, world.platform_admin),
    ):
        pair = session_of(person)
        answer = refresh(anyone, pair.refresh)
        assert answer.status == 200
        assert set(answer.json) == {"access", "refresh", "token_type", "expires_in"}
        assert answer.json["expires_in"] == 300
        old, new = claims_of(pair.access), claims_of(answer.json["access"])
        assert new["jti"] != old["jti"]
        for claim in ("sub", "org", "org_id", "role", "seller_id", "family", "iss", "token_type"):
            assert new[claim] == old[claim]
        assert Client(anyone.address, anyone.host, answer.json["access"]).get("/me").status == 200


def test_a_chain_of_refreshes_goes_on(acme: Organization) -> None:
    token = session_of(acme.member).refresh
    for _ in range(5):
        answer = refresh(acme.anyone, token)
        assert answer.status == 200
        token = answer.json["refresh"]
    assert SignIn.objects.count() == 1


def spend(anyone: Client, token: str) -> str:
    """Refreshes, and lets the 30 seconds pass in which the answer may be had again; the newest token."""
    newest = refresh(anyone, token).json["refresh"]
    SignIn.objects.filter(current_jti=claims_of(newest)["jti"]).update(
        rotated_at=timezone.now() - timedelta(seconds=31)
    )
    return newest


def test_a_spent_token_ends_its_session_and_no_other(acme: Organization) -> None:
    first, other = session_of(acme.member), session_of(acme.member)
    second = spend(acme.anyone, first.refresh)
    assert refused(refresh(acme.anyone, first.refresh)) == SPENT
    # The revocation stands although its answer was an error: the newest token of the family is dead too.
    assert refused(refresh(acme.anyone, second)) == SPENT
    assert refused(refresh(acme.anyone, first.refresh)) == SPENT
    assert refresh(acme.anyone, other.refresh).status == 200


def test_a_lost_answer_is_given_once_more_and_no_second_time(acme: Organization) -> None:
    first = session_of(acme.member).refresh
    answers = [refresh(acme.anyone, first) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    given, again = (answer.json for answer in answers)
    assert claims_of(given["refresh"]) == claims_of(again["refresh"])
    for answer in answers:
        assert replace(acme.anyone, token=answer.json["access"]).get("/balance").status == 200
    newest = refresh(acme.anyone, again["refresh"])  # which was used by nobody yet
    assert newest.status == 200
    assert refused(refresh(acme.anyone, first)) == SPENT
    assert refused(refresh(acme.anyone, newest.json["refresh"])) == SPENT


def test_an_answer_that_was_given_twice_is_not_given_a_third_time(acme: Organization) -> None:
    first = session_of(acme.member).refresh
    newest = [refresh(acme.anyone, first) for _ in range(2)][1].json["refresh"]
    assert refused(refresh(acme.anyone, first)) == SPENT
    assert refused(refresh(acme.anyone, newest)) == SPENT
    with acme.context:
        assert AuditRecord.objects.filter(action="session.reused", actor="member").count() == 1


def test_of_two_tabs_that_refresh_at_once_both_go_on(acme: Organization) -> None:
    token = session_of(acme.member).refresh
    answers = at_once(acme.anyone, token, 2)
    assert [answer.status for answer in answers] == [200, 200]
    assert len({claims_of(answer.json["refresh"])["jti"] for answer in answers}) == 1
    for answer in answers:
        assert replace(acme.anyone, token=answer.json["access"]).get("/balance").status == 200
    assert refresh(acme.anyone, answers[0].json["refresh"]).status == 200


def test_of_sixteen_refreshes_at_once_two_are_answered_and_the_session_ends(acme: Organization) -> None:
    answers = at_once(acme.anyone, session_of(acme.member).refresh, 16)
    won = [answer for answer in answers if answer.status == 200]
    assert len(won) == 2
    assert {refused(answer) for answer in answers if answer.status != 200} == {SPENT}
    assert refused(refresh(acme.anyone, won[0].json["refresh"])) == SPENT
    assert SignIn.objects.get().revoked_at is not None


def at_once(anyone: Client, token: str, times: int) -> list[Answer]:
    barrier = Barrier(times)

    def use(_: int) -> Answer:
        barrier.wait(20)
        return refresh(anyone, token)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(use, range(times)))


def test_signing_out_ends_the_session_and_may_be_repeated(acme: Organization) -> None:
    first, other = session_of(acme.member), session_of(acme.member)
    second = refresh(acme.anyone, first.refresh).json["refresh"]
    for _ in range(2):
        answer = acme.anyone.post("/auth/token/revoke", {"refresh": second})
        assert (answer.status, answer.body) == (204, b"")
    assert refused(refresh(acme.anyone, second)) == SPENT
    assert refresh(acme.anyone, other.refresh).status == 200


def test_a_spent_token_signs_out_too(acme: Organization) -> None:
    first = session_of(acme.member).refresh
    second = refresh(acme.anyone, first).json["refresh"]
    assert acme.anyone.post("/auth/token/revoke", {"refresh": first}).status == 204
    assert refused(refresh(acme.anyone, second)) == SPENT


def test_a_forged_refresh_token_is_refused_and_ends_nothing(acme: Organization) -> None:
    good = session_of(acme.member).refresh
    forgeries = {
        name: forgery
        for name, forgery in FORGERIES.items()
        # A refresh token says nothing of these: whose it is, its family knows.
        if not any(word in name for word in ("subject", "role", "seller's", "refresh type", "family", "password"))
    }
    forgeries["of the access type"] = (
        lambda token: signed(claims_of(token) | {"token_type": "access"}),
        "token_invalid",
    )
    for call in ("refresh", "revoke"):
        answers = {
            name: refused(acme.anyone.post(f"/auth/token/{call}", {"refresh": forge(good)}))
            for name, (forge, _) in forgeries.items()
        }
        expected: dict[str, tuple[int, str]] = {name: (401, code) for name, (_, code) in forgeries.items()}
        expected["that is empty"] = (400, "invalid_request")
        assert answers == expected
    assert refresh(acme.anyone, good).status == 200


def test_a_refresh_token_of_no_family_is_refused(acme: Organization) -> None:
    claims = claims_of(session_of(acme.member).refresh)
    for family in (None, 0, -1, "1", 1.0, True, [1], 2**63, 10**30):
        token = signed(claims | {"family": family})
        assert refused(refresh(acme.anyone, token)) == SPENT, family
        assert acme.anyone.post("/auth/token/revoke", {"refresh": token}).status in (204, 401), family
    assert refresh(acme.anyone, signed(claims)).status == 200


def test_the_family_of_another_organization_is_not_refreshed(acme: Organization, globex: Organization) -> None:
    theirs = claims_of(session_of(globex.member).refresh)
    token = signed(theirs | {"org": "acme", "org_id": acme.row.pk})
    assert refused(refresh(acme.anyone, token)) == SPENT
    acme.anyone.post("/auth/token/revoke", {"refresh": token})
    assert refresh(globex.anyone, signed(theirs)).status == 200


def test_an_expired_refresh_token_is_told_so(acme: Organization) -> None:
    claims = claims_of(session_of(acme.member).refresh)
    token = signed(claims | {"exp": claims["iat"] - 1})
    assert refused(refresh(acme.anyone, token)) == (401, "token_expired")


def test_a_seller_who_was_switched_off_gets_no_new_pair(acme: Organization) -> None:
    pair = session_of(acme.member)
    assert acme.owner.client.patch(f"/sellers/{acme.member.id}", {"is_active": False}).status == 200
    assert refused(refresh(acme.anyone, pair.refresh)) == (403, "seller_inactive")
    # Switched on again, he signs in again: what was signed in before has ended.
    assert acme.owner.client.patch(f"/sellers/{acme.member.id}", {"is_active": True}).status == 200
    assert refused(refresh(acme.anyone, pair.refresh)) == SPENT
    assert refresh(acme.anyone, session_of(acme.member).refresh).status == 200


def test_renaming_a_seller_ends_no_session(acme: Organization) -> None:
    pair = session_of(acme.member)
    with acme.context:
        update_seller(organization=acme.row, seller_id=acme.member.id, name="Renamed")
        update_seller(organization=acme.row, seller_id=acme.member.id, is_active=True)
    assert refresh(acme.anyone, pair.refresh).status == 200


def test_an_admin_whose_membership_is_withdrawn_gets_no_new_pair(acme: Organization) -> None:
    pair = session_of(acme.owner)
    Membership.objects.filter(user=acme.owner.user).update(is_active=False)
    assert refused(refresh(acme.anyone, pair.refresh)) == (403, "permission_denied")
    Membership.objects.filter(user=acme.owner.user).delete()
    assert refused(refresh(acme.anyone, pair.refresh)) == (403, "permission_denied")


def test_a_user_who_was_switched_off_gets_no_new_pair(world: World, acme: Organization) -> None:
    for anyone, person, code in (
        (acme.anyone, acme.owner, "permission_denied"),
        (acme.anyone, acme.member, "seller_inactive"),
        (world.platform, world.platform_admin, "permission_denied"),
    ):
        pair = session_of(person)
        User.objects.filter(pk=person.user.pk).update(is_active=False)
        assert refused(refresh(anyone, pair.refresh)) == (403, code)


def test_a_platform_admin_who_is_none_any_longer_gets_no_new_pair(world: World) -> None:
    pair = session_of(world.platform_admin)
    User.objects.filter(username="root").update(is_superuser=False, platform_role="")
    assert refused(refresh(world.platform, pair.refresh)) == (403, "permission_denied")


def test_a_new_role_is_in_the_next_token(acme: Organization) -> None:
    pair = session_of(acme.member)
    Membership.objects.filter(user=acme.member.user).update(role="admin", seller_id=None)
    claims = claims_of(refresh(acme.anyone, pair.refresh).json["access"])
    assert (claims["role"], claims["seller_id"]) == ("admin", None)


def test_a_spent_token_ends_its_session_also_while_the_account_is_switched_off(acme: Organization) -> None:
    first = session_of(acme.owner).refresh
    second = spend(acme.anyone, first)
    User.objects.filter(pk=acme.owner.user.pk).update(is_active=False)
    assert refused(refresh(acme.anyone, first)) == (403, "permission_denied")
    User.objects.filter(pk=acme.owner.user.pk).update(is_active=True)
    assert refused(refresh(acme.anyone, second)) == SPENT


def test_a_changed_password_ends_what_was_signed_in_with_the_old_one(acme: Organization) -> None:
    pair = session_of(acme.member)
    acme.member.user.set_password("a password of today")
    acme.member.user.save()
    assert refused(refresh(acme.anyone, pair.refresh)) == SPENT


def test_sign_ins_take_old_families_away(acme: Organization) -> None:
    session_of(acme.member)
    SignIn.objects.update(expires_at=timezone.now() - timedelta(days=1))
    session_of(acme.member)
    assert SignIn.objects.count() == 1
