from django.apps import AppConfig


class RechargeConfig(AppConfig):
    name = "recharge"
    default_auto_field = "django.db.models.BigAutoField"
