"""A local replacement for Supabase Auth (GoTrue) on the real `auth` tables.

It covers what Parley, supabase-py and supabase-js use: sign-up (confirmed at once), password and refresh-token grants,
anonymous sign-in, one-time links (passed to a callback, not mailed), user, logout, admin users, JWKS, health, settings.
Not covered: phones, OAuth, MFA, SSO, mail, captchas, rate limits, confirmation of a new address, a list of allowed
redirect URLs.
"""
