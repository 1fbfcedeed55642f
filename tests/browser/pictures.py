"""Screenshots of the consoles' pages, in both languages, for a desk and for a phone. One command, from the root:

    .venv/bin/python -m tests.browser.pictures [--only REGEX] [--languages en,fa] [--widths 360,768,1440]
        [--schemes light,dark] [--out DIR]

It starts a PostgreSQL and a server of its own with some days of business in it, signs in as whoever each page is for,
and writes DIR/<page>.<language>.<width>.png, of the dark scheme with .dark.png at its end (DIR is var/pictures unless
given; it is not kept in the repository).
"""

import argparse
import atexit
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from tests.browser import scenery

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Picture:
    """A page: its name, for whom (the username in acme; root: on the platform; None: nobody), and where. ``{…}`` in a
    path is filled in from the scenery's ids."""

    name: str
    who: str | None
    path: str


PICTURES = [
    Picture("sign-in", None, "/sign-in"),
    Picture("offline", None, "/offline"),
    Picture("password-reset", None, "/password-reset"),
    Picture("password-reset-expired", None, "/password-reset/MQ/expired"),
    Picture("nothing-there", None, "/nothing-there"),
    Picture("preferences", "member", "/account/preferences"),
    Picture("sessions", "member", "/account/sessions"),
    Picture("password", "member", "/account/password"),
    Picture("passkey-sign-in", None, "/sign-in/passkey"),
    Picture("security", "member", "/account/security"),
    Picture("security-with-factors", "support", "/account/security"),
    Picture("proof", "support", "/account/proof"),
    Picture("set-up-app", "member", "/account/security/app"),
    Picture("remove-app", "member", "/account/security/app/remove"),
    Picture("add-passkey", "member", "/account/security/passkeys/add"),
    Picture("recovery-codes", "member", "/account/security/recovery-codes"),
    # The seller's.
    Picture("seller-sell", "member", "/sell"),
    Picture("seller-sell-number", "member", "/sell?phone_number=09211234567&amount=50000"),
    Picture("seller-sell-wrong", "member", "/sell/confirm?phone_number=123&amount=&key={key}"),
    Picture("seller-confirm", "member", "/sell/confirm?phone_number=09121234567&amount=50000&key={key}"),
    Picture("seller-confirm-too-much", "member", "/sell/confirm?phone_number=09121234567&amount=50000000&key={key}"),
    Picture("seller-outcome", "member", "/recharges/{recharge}/outcome"),
    Picture("seller-outcome-failed", "member", "/recharges/{own_failed}/outcome"),
    Picture("seller-receipt", "member", "/recharges/{recharge}/receipt"),
    Picture("seller-receipt-narrow", "member", "/recharges/{own_failed}/receipt?paper=58"),
    Picture("seller-shop", "member", "/shop"),
    Picture("seller-claims", "member", "/claims"),
    Picture("seller-claim", "member", "/claims/{claim}"),
    Picture("seller-claim-overdue", "member", "/claims/{overdue_claim}"),
    Picture("seller-claim-closed", "member", "/claims/{closed_claim}"),
    Picture("seller-open-claim", "member", "/recharges/{unclaimed}/not-received"),
    Picture("seller-open-claim-failed", "member", "/recharges/{own_failed}/not-received"),
    Picture("seller-bulk", "member", "/bulk"),
    Picture("seller-bulk-sales", "member", "/bulk/sales"),
    Picture("seller-bulk-sale", "member", "/bulk/sales/{batch}"),
    Picture("seller-recharges", "member", "/recharges"),
    Picture("seller-recharge", "member", "/recharges/{recharge}"),
    Picture("seller-margins", "neighbour", "/margins/{margin_batch}"),
    Picture("seller-statement", "member", "/ledger"),
    Picture("seller-statements", "member", "/statements"),
    Picture("seller-new-statement", "member", "/statements/new"),
    Picture("seller-period-statement", "member", "/statements/{statement}"),
    Picture("seller-credit-requests", "member", "/credit-requests"),
    Picture("seller-new-credit-request", "member", "/credit-requests/new"),
    Picture("seller-credit-request", "member", "/credit-requests/{rejected}"),
    Picture("seller-earnings", "member", "/earnings"),
    Picture("seller-new-slip", "member", "/credit-requests/{request}/slip/new"),
    Picture("seller-alerts", "member", "/alerts"),
    Picture("seller-threshold", "member", "/alerts/threshold"),
    Picture("seller-webhooks", "member", "/webhooks"),
    Picture("seller-webhook", "member", "/webhooks/{webhook}"),
    Picture("seller-webhook-new", "member", "/webhooks/new"),
    Picture("seller-webhook-change", "member", "/webhooks/{webhook}/change"),
    Picture("seller-api-keys", "member", "/api-keys"),
    Picture("seller-api-key", "member", "/api-keys/{api_key}"),
    Picture("seller-api-key-new", "member", "/api-keys/new"),
    Picture("seller-api-access", "member", "/api-access"),
    # A dealer's.
    Picture("dealer-branch", "neighbour", "/branch"),
    Picture("dealer-new-seller", "neighbour", "/branch/new"),
    Picture("dealer-seller", "neighbour", "/branch/{child}"),
    Picture("dealer-sales", "neighbour", "/branch/{child}/sales"),
    Picture("dealer-entries", "neighbour", "/branch/{child}/entries"),
    Picture("dealer-switch-off", "neighbour", "/branch/{child}/switch-off"),
    Picture("dealer-switch-on", "neighbour", "/branch/{child}/switch-on"),
    Picture("dealer-request", "neighbour", "/branch/requests/{asked}"),
    Picture("dealer-approve", "neighbour", "/branch/requests/{asked}/approve"),
    Picture("dealer-reject", "neighbour", "/branch/requests/{asked}/reject"),
    Picture("dealer-transfers", "neighbour", "/transfers"),
    Picture("dealer-transfer", "neighbour", "/transfers/{transfer}"),
    Picture("dealer-new-transfer", "neighbour", "/transfers/new?to={child}"),
    Picture(
        "dealer-confirm-transfer",
        "neighbour",
        "/transfers/confirm?to={child}&amount=50000&note=for+the+week&key=page-{key}",
    ),
    # The admin's.
    Picture("admin-home", "owner", "/today"),
    Picture("admin-credit-requests", "owner", "/credit-requests"),
    Picture("admin-credit-request", "owner", "/credit-requests/{request}"),
    Picture("admin-approve", "owner", "/credit-requests/{request}/approve"),
    Picture(
        "admin-decide",
        "owner",
        "/credit-requests/decide?decision=approve&ids={request}&ids={first_approved}&ids={rejected}",
    ),
    Picture("admin-decide-adjustments", "owner", "/adjustments/decide?decision=reject&ids={adjustment}"),
    Picture("admin-reject", "owner", "/credit-requests/{request}/reject"),
    Picture("admin-approve-second", "owner", "/credit-requests/{first_approved}"),
    Picture("admin-periods", "owner", "/periods"),
    Picture("admin-close-period", "owner", "/periods/{month}/close"),
    Picture("admin-adjustments", "owner", "/adjustments"),
    Picture("admin-new-adjustment", "owner", "/adjustments/new?seller={seller}"),
    Picture("admin-margins", "owner", "/margins/{margin_batch}"),
    Picture("admin-adjustment", "owner", "/adjustments/{adjustment}"),
    Picture("admin-approve-adjustment", "owner", "/adjustments/{adjustment}/approve"),
    Picture("admin-reject-adjustment", "owner", "/adjustments/{adjustment}/reject"),
    Picture("admin-sellers", "owner", "/sellers"),
    Picture("admin-new-seller", "owner", "/sellers/new"),
    Picture("admin-seller", "owner", "/sellers/{seller}"),
    Picture("admin-place-seller", "owner", "/sellers/{child}/parent"),
    Picture("admin-transfers", "owner", "/transfers"),
    Picture("admin-rename-seller", "owner", "/sellers/{seller}/rename"),
    Picture("admin-switch-seller-on", "owner", "/sellers/{switched_off}/switch-on"),
    Picture("admin-switch-seller-off", "owner", "/sellers/{seller}/switch-off"),
    Picture("admin-reset-seller-password", "owner", "/sellers/{seller}/password"),
    Picture("admin-recharges", "owner", "/recharges"),
    Picture("admin-recharges-filters", "owner", "/recharges?seller=nobody&from_day=x&status=failed"),
    Picture("admin-search", "owner", "/search?q=۲۳۴۹"),
    Picture("admin-search-nothing", "owner", "/search?q=nobody"),
    Picture("admin-recharge", "owner", "/recharges/{recharge}"),
    Picture("admin-recharge-failed", "owner", "/recharges/{failed}"),
    Picture("admin-recharge-unknown", "owner", "/recharges/{unknown}"),
    Picture("admin-recharge-late", "owner", "/recharges/{late}"),
    Picture("admin-resolve", "owner", "/recharges/{unknown}/resolve?status=failed"),
    Picture("admin-claims", "owner", "/claims"),
    Picture("admin-claims-closed", "owner", "/claims?show=closed"),
    Picture("admin-claim", "owner", "/claims/{claim}"),
    Picture("admin-claim-overdue", "owner", "/claims/{overdue_claim}"),
    Picture("admin-close-claim", "owner", "/claims/{claim}/close?as=delivered"),
    Picture("admin-close-claim-refunded", "owner", "/claims/{claim}/close?as=refunded"),
    Picture("admin-ledger", "owner", "/ledger"),
    Picture("admin-commissions", "owner", "/commissions"),
    Picture("admin-commissions-all", "owner", "/commissions?which=all"),
    Picture("admin-set-commission", "owner", "/commissions/set?seller={seller}&operator=mci"),
    Picture("admin-statements", "owner", "/statements"),
    Picture("admin-new-statement", "owner", "/statements/new?seller={seller}"),
    Picture("admin-statement-proof", "owner", "/statements/{statement}/proof"),
    Picture("admin-reports", "owner", "/reports"),
    Picture("admin-alerts", "owner", "/alerts"),
    Picture("admin-alert-settings", "owner", "/alerts/settings"),
    Picture("admin-seller-threshold", "owner", "/sellers/{seller}/threshold"),
    Picture("admin-webhooks", "owner", "/webhooks"),
    Picture("admin-audit-log", "owner", "/audit-log"),
    Picture("admin-api-keys", "owner", "/api-keys"),
    Picture("admin-api-key-new", "owner", "/api-keys/new"),
    Picture("admin-members", "owner", "/members"),
    Picture("admin-new-member", "owner", "/members/new"),
    Picture("admin-member", "owner", "/members/{clerk}"),
    Picture("admin-switch-member-off", "owner", "/members/{clerk}/switch-off"),
    Picture("admin-switch-member-on", "owner", "/members/{clerk}/switch-on"),
    Picture("admin-reset-member-password", "owner", "/members/{clerk}/password"),
    Picture("admin-reset-second-factor", "owner", "/members/{clerk}/second-factor"),
    Picture("admin-invited-member", "owner", "/members/{invited}"),
    Picture("admin-send-invitation", "owner", "/members/{invited}/invitation"),
    Picture("admin-settings", "owner", "/settings"),
    Picture("admin-gateway", "owner", "/settings/gateways/direct"),
    Picture("admin-new-gateway", "owner", "/settings/new-gateway"),
    Picture("admin-delete-gateway", "owner", "/settings/gateways/direct/delete"),
    Picture("admin-operator", "owner", "/settings/operators/rightel"),
    Picture("admin-new-operator", "owner", "/settings/new-operator"),
    Picture("admin-limits", "owner", "/settings/limits"),
    Picture("admin-phone-numbers", "owner", "/settings/phone-numbers"),
    Picture("admin-seller-limits", "owner", "/sellers/{seller}/limits"),
    Picture("admin-training", "owner", "/settings/training"),
    Picture("admin-require-second-factor", "owner", "/settings/second-factor"),
    Picture("end-sessions", "owner", "/account/sessions/end"),
    Picture("end-api-key", "member", "/api-keys/{api_key}/end"),
    Picture("rotate-api-key", "member", "/api-keys/{api_key}/rotate"),
    Picture("delete-webhook", "member", "/webhooks/{webhook}/delete"),
    Picture("disable-webhook", "member", "/webhooks/{webhook}/disable"),
    Picture("rotate-webhook-secret", "member", "/webhooks/{webhook}/rotate-secret"),
    # The platform's.
    Picture("platform-organizations", "root", "/organizations"),
    Picture("platform-search", "root", "/search?q=acme"),
    Picture("platform-organization", "root", "/organizations/acme"),
    Picture("platform-provision", "root", "/provision"),
    Picture("platform-audit", "root", "/audit"),
    Picture("platform-members", "root", "/members"),
    Picture("platform-new-member", "root", "/members/new"),
    Picture("platform-suspend", "root", "/organizations/acme/suspend"),
    Picture("platform-activate", "root", "/organizations/acme/activate"),
    # Other roles'.
    Picture("first-password", "newcomer", "/account/password"),
    Picture("invitation", None, "/invitation/{invitation}"),
    Picture("invitation-expired", None, "/invitation/expired"),
    Picture("accountant-home", "accountant", "/today"),
    Picture("support-home", "support", "/today"),
    Picture("support-claim", "support", "/claims/{claim}"),
    Picture("support-seller", "support", "/sellers/{seller}"),
    Picture("auditor-members", "auditor", "/members"),
    Picture("auditor-settings", "auditor", "/settings"),
    Picture("auditor-api-key", "auditor", "/api-keys/{api_key}"),
    Picture("auditor-adjustment", "auditor", "/adjustments/{adjustment}"),
    Picture("auditor-credit-request", "auditor", "/credit-requests/{request}"),
    Picture("auditor-recharge-unknown", "auditor", "/recharges/{unknown}"),
    Picture("auditor-webhook", "auditor", "/webhooks/{webhook}"),
    Picture("cashier-sell", "cashier", "/sell"),
]

README = {
    "seller": [("seller-outcome", "en", 1440), ("seller-sell", "fa", 360)],
    "admin": [("admin-home", "en", 1440), ("admin-reports", "fa", 1440)],
    "platform": [("platform-organizations", "en", 1440)],
}
"""What the README shows of each console: screenshots beside each other."""


def compose_for_readme(pictures: Path, into: Path) -> None:
    """Small compressed images for the README, of screenshots that were taken before."""
    from PIL import Image

    height = 560
    into.mkdir(parents=True, exist_ok=True)
    for name, shown in README.items():
        parts = []
        for picture, language, width in shown:
            with Image.open(pictures / f"{picture}.{language}.{width}.png") as image:
                part = image.convert("RGB").crop((0, 0, image.width, min(image.height, 800)))
            parts.append(part.resize((part.width * height // part.height, height), Image.Resampling.LANCZOS))
        whole = Image.new("RGB", (sum(part.width for part in parts) + 16 * (len(parts) - 1), height), "white")
        left = 0
        for part in parts:
            whole.paste(part, (left, 0))
            left += part.width + 16
        whole.save(into / f"{name}.webp", quality=72, method=6)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests.browser.pictures", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default="", help="a regular expression that the page's name must match")
    parser.add_argument("--languages", default="en,fa")
    parser.add_argument("--widths", default="360,768,1440")
    parser.add_argument("--schemes", default="light,dark", help="of colours: light, dark or both with a comma")
    parser.add_argument("--out", type=Path, default=Path("var/pictures"))
    parser.add_argument("--readme", action="store_true", help="also make the README's images, in deploy/pictures")
    options = parser.parse_args()
    chosen = [picture for picture in PICTURES if re.search(options.only, picture.name)]
    options.out.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="recharge-pictures-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    scenery.prepare(directory)

    from playwright.sync_api import sync_playwright

    from tests.browser.chromium import ARGUMENTS, chromium_path
    from tests.browser.fitting import misfits
    from tests.browser.people import Guest
    from tests.support.server import serving

    with serving(directory / "log", environment=dict(os.environ)) as server:
        people, ids = scenery.set_up(server.address)
        with sync_playwright() as playwright:
            # The tests' own queries are quick; Django would refuse them beside playwright's event loop.
            os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
            browser = playwright.chromium.launch(executable_path=chromium_path(playwright), args=ARGUMENTS)
            widths = [int(width) for width in options.widths.split(",")]
            for language, width, scheme, picture in product(
                options.languages.split(","), widths, options.schemes.split(","), chosen
            ):
                context = browser.new_context(
                    locale={"en": "en-GB", "fa": "fa-IR"}[language],
                    viewport={"width": width, "height": 800},
                    color_scheme=scheme,
                )
                guest = Guest(context.new_page(), server.address.split(":")[1], language)
                if picture.who:
                    guest.become(people[picture.who])
                guest.go(None if picture.who == "root" else "acme", picture.path.format(**ids))
                ending = ".dark.png" if scheme == "dark" else ".png"
                file = options.out / f"{picture.name}.{language}.{width}{ending}"
                guest.page.screenshot(path=file, full_page=True)
                print(file, *misfits(guest.page), *guest.complaints)
                context.close()
            browser.close()
    if options.readme:
        compose_for_readme(options.out, ROOT / "deploy" / "pictures")


if __name__ == "__main__":
    main()
