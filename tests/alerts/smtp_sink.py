"""A mail server on loopback that keeps nothing: says its port, and then every mail, as lines of JSON.

Arguments: starttls, smtps or none; a certificate and its key (PEM); a user's name and password, or two empty words.
"""

import asyncio
import base64
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

mode, certificate, key, username, password = sys.argv[1:]


def say(value):
    print(json.dumps(value), flush=True)


class Handler:
    async def handle_DATA(self, server, session, envelope):
        say({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "mail": envelope.content.decode("utf-8", "replace"),
            "login": session.auth_data.login.decode() if session.authenticated else "",
            "tls": session.ssl is not None or mode == "smtps",
        })
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    right = (data.login, data.password) == (username.encode(), password.encode())
    if right:
        return AuthResult(success=True, auth_data=data)
    # As some servers do, it says back what it was told, as it was sent too.
    plain = b"\0" + data.login + b"\0" + data.password
    said = f"{data.password.decode()} {base64.b64encode(plain).decode()}"
    return AuthResult(success=False, handled=False, message=f"535 5.7.8 not you: {said}")


async def main():
    context = None
    if mode != "none":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
    wants_login = bool(username)

    def server():
        return SMTP(
            Handler(),
            hostname="localhost",
            tls_context=context if mode == "starttls" else None,
            require_starttls=mode == "starttls",
            auth_required=wants_login,
            auth_require_tls=mode == "starttls",
            authenticator=authenticate if wants_login else None,
        )

    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        server, "127.0.0.1", 0, ssl=context if mode == "smtps" else None
    )
    say({"port": listening.sockets[0].getsockname()[1]})
    await listening.serve_forever()


asyncio.run(main())
