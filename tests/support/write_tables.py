"""Writes the files of table_files.py, on a PostgreSQL of its own. To be run when a migration of a tenant app was added:

.venv/bin/python -m tests.support.write_tables
"""

import os


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "saas.settings"
    import django

    import tests.support.database  # noqa: F401 - starts the PostgreSQL that the settings ask for

    django.setup()
    from tests.support.table_files import texts

    for path, text in texts().items():
        path.write_text(text)
        print(path)


if __name__ == "__main__":
    main()
