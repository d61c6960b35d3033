"""A stand-in for Supabase Auth (GoTrue), on the real `auth` tables: what Parley, supabase-py and supabase-js use.

Covered: sign-up (confirmed at once), password and refresh-token grants, anonymous sign-in, one-time links (handed to a
callback instead of mailed), user, logout, the admin's people, JWKS, health, settings. Not covered: phones, OAuth, MFA,
SSO, mail, captchas, rate limits, confirming a new address, a list of addresses that links may lead to.
"""
