"""Template filters write the acts of the audit tables: see shared/console/acts.py."""

from django import template

from shared.console.acts import act_name, changes, field_words

register = template.Library()
register.filter(act_name)
register.filter(changes)
register.simple_tag(field_words)
