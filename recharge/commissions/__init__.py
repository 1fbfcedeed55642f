"""What sellers earn by a recharge: the rates, from when until when each is in force, and who has set them. What a sale
makes of them is in sql/commissions.sql."""
