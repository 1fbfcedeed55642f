"""Template filters write the acts of the audit tables: see shared/console/acts.py."""

from django import template

from shared.console.acts import act_name, changes

register = template.Library()
register.filter(act_name)
register.filter(changes)
