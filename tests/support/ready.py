"""Importing this sets Django up, for a process that begins with it."""

import django

django.setup()
