"""A local replacement for Supabase Auth (GoTrue) on the real `auth` tables.

It covers what Parley, supabase-py, supabase-js and @supabase/ssr use: sign-up (confirmed at once), password and
refresh-token grants, anonymous sign-in, one-time links and six-digit codes (passed to a callback, not mailed), PKCE,
recovery, user, logout, admin users, JWKS, health, settings. It is an OAuth 2.1 server for the clients of MCP:
discovery, registration, consent, codes with PKCE, refresh and revocation.
Not covered, and refused: phones, sign-in at other providers, MFA, SSO. Not covered: captchas, rate limits,
confirmation of a new address, a list of allowed redirect URLs.
"""
