"""Texts with a secret or personal datum between the marks `«»`, and texts without any.

`{plain36}` is 36 characters without meaning, of the alphabet with that name: this file has no real key.
The numbers are those of documentation: test cards, examples of authorities, reserved addresses.
"""

from __future__ import annotations

import random
import re
import string
from typing import Final

_ALPHABETS: Final = {
    "plain": string.ascii_letters + string.digits,
    "word": string.ascii_letters + string.digits + "-_",
    "hex": "0123456789abcdef",
    "upper": string.ascii_uppercase + string.digits,
    "lower": string.ascii_lowercase + string.digits,
    "base": string.ascii_letters + string.digits + "+/",
    "digit": string.digits,
}


def expanded(text: str) -> str:
    """The text with the same characters for each placeholder in every run."""
    chance = random.Random(text)  # noqa: S311 - filler, no secret

    def filler(match: re.Match[str]) -> str:
        alphabet = _ALPHABETS[match[1]]
        body = "".join(chance.choices(alphabet, k=int(match[2]) - 1))
        return body[:1] + ("7" if "7" in alphabet else "x") + body[1:]

    return re.sub(r"\{([a-z]+)(\d+)\}", filler, text)


SECRETS: Final = tuple(
    tuple(line.split(" ", 1))
    for line in """\
key OPENAI_KEY «sk-{plain48}» is in the notebook
key use «sk-proj-{word120}» for the test
key claude says «sk-ant-api03-{word90}» was revoked
key groq: «gsk_{plain52}»
key «hf_{plain34}» reads the private dataset
key the xAI one is «xai-{plain80}»
key perplexity «pplx-{plain48}»
key replicate wants «r8_{plain37}»
key nvidia build key «nvapi-{word64}»
key the Gemini key «AIza{word35}» is restricted by referrer
key curl 'https://maps.example/api/js?callback=x&v=3' with «AIza{word35}»
key new style «AQ.{word45}»
key tavily «tvly-{plain32}»
key langsmith «lsv2_pt_{hex32}_{hex10}»
key pinecone «pcsk_{word60}»
key aws id «AKIA{upper16}» expired
key temporary «ASIA{upper16}» from sts
key AKIA{upper16}:«{base40}»
key google oauth «ya29.{word60}»
key refresh «1//0{word60}» kept
key client «GOCSPX-{word28}»
key digitalocean «dop_v1_{hex64}»
key alibaba «LTAI{plain20}» in the bucket policy
key databricks «dapi{hex32}»
key vault «hvs.{word90}»
key pulumi «pul-{hex40}»
key doppler «dp.pt.{plain43}»
key tailscale «tskey-auth-{plain12}-{plain32}»
key planetscale «pscale_tkn_{word43}»
key supabase «sbp_{hex40}»
key «sb_secret_{word31}» bypasses RLS
key heroku «HRKU-{word60}»
key age «AGE-SECRET-KEY-1{upper58}»
key azure app secret «abc8Q~{word34}»
key git clone with «ghp_{plain36}»
key actions used «ghs_{plain36}»
key fine grained «github_pat_{plain22}_{plain59}»
key gitlab «glpat-{word20}»
key runner «glrt-{word20}»
key atlassian «ATATT3{word180}»
key npm «npm_{plain36}»
key twine upload -u __token__ with «pypi-AgEIcHlwaS5vcmc{word120}»
key rubygems «rubygems_{hex48}»
key docker «dckr_pat_{word27}»
key sonar «sqp_{hex40}»
key slack bot «xoxb-{digit12}-{digit12}-{plain24}»
key slack app level «xapp-1-A{upper10}-{digit13}-{hex64}»
key slack user «xoxp-{digit12}-{digit12}-{digit12}-{hex32}»
key sendgrid «SG.{word22}.{word43}»
key mailgun «key-{hex32}»
key brevo «xkeysib-{hex64}-{plain16}»
key resend «re_{plain8}_{plain24}»
key twilio «SK{hex32}»
key stripe «sk_live_{plain24}»
key stripe restricted «rk_live_{plain99}»
key stripe endpoint «whsec_{plain32}»
key square «sq0csp-{word43}»
key shopify «shpat_{hex32}»
key razorpay «rzp_live_{plain14}»
key notion «ntn_{plain46}»
key linear «lin_api_{plain40}»
key figma «figd_{word40}»
key postman «PMAK-{hex24}-{hex34}»
key grafana «glsa_{plain32}_{hex8}»
key newrelic «NRAK-{upper27}»
key dynatrace «dt0c01.{upper24}.{upper64}»
key telegram bot «{digit10}:AA{word33}» answers
key https://api.telegram.org/bot«{digit10}:AA{word33}»/getMe
key airtable «pat{plain14}.{hex64}»
key a personal key «pk_{plain43}» of this service
jwt Cookie-less: «eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.{word43}»
jwt {"access":"«eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.{word120}.{word80}»"}
private_key «-----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNzaC1rZXktdjEA{base60}\\n-----END OPENSSH PRIVATE KEY-----»
private_key «-----BEGIN EC PRIVATE KEY-----\\\\nMHcCAQEE{base60}\\\\n-----END EC PRIVATE KEY-----»
private_key «-----BEGIN PGP PRIVATE KEY BLOCK-----\\n\\nlQOYBF{base60}»
webhook curl -d x https://hooks.slack.com/services/«T{upper9}/B{upper9}/{plain24}»
webhook https://hooks.slack.com/workflows/«T{upper9}/A{upper9}/{digit18}/{plain24}»
webhook notify https://discord.com/api/webhooks/«{digit18}/{word68}»
webhook https://contoso.webhook.office.com/webhookb2/«{hex8}-1111-2222-3333-{hex12}@{hex8}-1111-2222-3333-{hex12}/IncomingWebhook/{hex32}/{hex8}»
webhook zap https://hooks.zapier.com/hooks/catch/«{digit7}/{lower7}/»
webhook https://maker.ifttt.com/trigger/door/with/key/«{word43}»
webhook https://hook.eu1.make.com/«{lower32}»
webhook https://open.feishu.cn/open-apis/bot/v2/hook/«{hex8}-1111-4222-8333-{hex12}»
webhook https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=«{hex8}-1111-4222-8333-{hex12}»
webhook https://chat.example.org/hooks/«{lower25}q»
webhook https://n8n.example.org/webhook/«{hex8}-1111-4222-8333-{hex12}»
webhook https://«{lower16}».m.pipedream.net/
secret https://oapi.dingtalk.com/robot/send?access_token=«{hex64}»
secret https://chat.googleapis.com/v1/spaces/AAA/messages?key=«{word39}»
secret https://prod-1.example/workflows/x?sp=run&sv=1.0&sig=«{word43}»
secret https://acct.blob.core.windows.net/c/f.txt?sv=2023-01-03&sr=b&sig=«{word30}%2B{word10}%3D»
secret https://b.s3.amazonaws.com/k?X-Amz-Date=20260101T000000Z&X-Amz-Signature=«{hex64}»
secret https://storage.googleapis.com/b/o?X-Goog-Expires=60&X-Goog-Signature=«{hex128}»
secret https://app.example/reset?user=5&token=«{word40}»
secret https://app.example/cb?code=«{word43}»&state=x
secret https://api.example/v1?api_key=«{hex32}»
secret password: «hunter2!»
secret PASSWORD=«Tr0ub4dor&3»
secret export DB_PASS=«s3cr3tvalue»
secret "client_secret": "«{word40}»"
secret {"user":"ada","pwd":"«blue horse 7»"}
secret spring.datasource.password=«pa55phrase»
secret aws_secret_access_key = «{base40}»
secret AccountName=x;AccountKey=«{base86}==»;EndpointSuffix=core.windows.net
secret Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey=«{base43}=»
secret Server=db;Database=x;User Id=sa;Password=«Pa$$w0rd1»;
secret Passwort: «Sommer2024»
secret contraseña: «gato1234»
secret mot_de_passe=«chat1234»
secret пароль: «kotik2024»
secret 密码\uff1a«xiaomao88»
secret my password is «Winter!2025», thanks
secret das Passwort lautet «katze99»
secret the api key is «a1b2c3d4e5f6»
secret Authorization: Basic «YWRhOmxvdmVsYWNl»
secret Authorization: Bearer «{word30}»
secret curl -H "Authorization: token «{hex40}»"
secret x-api-key: «{hex32}»
secret Cookie: «sid={word32}; theme=dark»
secret Set-Cookie: «session={word40}; Path=/; HttpOnly»
secret mysql --user ada --password «s3cr3t99» shop
secret cli login --api-key=«{word24}»
secret machine h.example login ada password «s3cret77»
secret <password>«s3cret77»</password>
secret your verification code is «482913»
secret OTP: «771204»
secret my pin is «4821»
secret recovery codes: «8f2k-91xm 2hq7-p0aa b3c9-77de»
secret backup code «a1b2c-d3e4f»
secret seed phrase: «legal winner thank year wave sausage worth useful legal winner thank yellow»
secret mnemonic is «letter advice cage absurd amount doctor acoustic avoid letter advice cage above»
secret "bot_token": "«{word36}»"
secret signing_key=«{hex64}»
secret private_key: 0x«{hex64}»
credentials postgres://app:«s3cr3t»@db.example:5432/app
credentials mongodb+srv://root:«p%40ssword»@cluster0.example.net
credentials redis://:«s3cr3t99»@cache:6379/0
credentials amqps://svc:«x!9kd82»@mq.example/v
credentials https://ada:«lovelace1»@intranet.example/feed
credentials https://«{hex32}»@o1.ingest.sentry.io/4
credentials git clone https://oauth2:«{plain20}»@git.example/x.git
credentials curl -u «ada:lovelace1» https://x.example
credentials jdbc:oracle:thin:«scott/tiger»@db:1521/x
email write to «ada@example.com»
email «Ada.Lovelace+news@mail.example.co.uk» is old
email <«o'hara@example.ie»>
email «用户@例子.广告» schrieb
email «jörg@müller.example»
email «иван@почта.рф»
email mailto:«x_y@sub.example.museum»?subject=hi
email «ada [at] example [dot] com»
email «ada(at)example.org»
email «ada at example dot com»
email «ada@exam\u200bple.com»
email «\uff41\uff44\uff41\uff20\uff45\uff58\uff41\uff4d\uff50\uff4c\uff45\uff0e\uff43\uff4f\uff4d»
email https://x.example/?mail=«ada%40example.com»
email «ada @ example.com»
phone ring «+44 20 7946 0958»
phone «+1 (415) 555-2671» is the office
phone «+1-202-555-0143» ext 5
phone «(212) 555-0187»
phone «212-555-0187»
phone 1-800-555-0199 or «1 (800) 555-0199»
phone «+33 6 12 34 56 78»
phone «06 12 34 56 78» after noon
phone «+49 (0)30 901820»
phone Tel. «030/901820-15»
phone «0171-1234567»
phone «+91 98765 43210»
phone text me on «98765 43210»
phone mobile 0«9876543210»
phone «+86 138 1234 5678»
phone 我的手机号是«13812345678»
phone 电话\uff1a«010-12345678»
phone «138 1234 5678» is hers
phone «+81 3-1234-5678»
phone 携帯は«090-1234-5678»です
phone 전화번호 «010-1234-5678»
phone «+55 11 91234-5678»
phone «(11) 91234-5678»
phone celular: «11 91234 5678»
phone «+7 (912) 345-67-89»
phone тел. «8 (912) 345-67-89»
phone «+48 601 234 567»
phone «+34 612 345 678»
phone móvil «612 345 678»
phone «+971 50 123 4567»
phone «+27 82 123 4567»
phone «+61 412 345 678»
phone «0412 345 678» is my mobile
phone WhatsApp «+234 803 123 4567»
phone «+39 347 123 4567»
phone «00 44 7700 900123»
phone my number is «415 555 2671»
phone call «5125550143»? my number «512 555 0143»
phone "phone": "«9876543210»"
phone call me on «٠٥٠١٢٣٤٥٦٧»
phone «+45 20 12 34 56»
phone «+65 9123 4567»
phone reach us at «9123 4567»
phone Mobile: «(+91)-9876543210»
phone «+1.415.555.2671» with dots
phone ping me on «(0)80-41234567»
secret AZURE_OPENAI_KEY: «{hex32}»
secret sshpass -p «hunter2x» ssh host
secret PGPASS=«hunter2secret»
secret redis-cli -h cache -a «s3cr3tpass» ping
secret pass: «hunter2!»
email «jean dot dupont at laposte dot net»
ip «8.8.8.8» answers
national_id NIN «QQ 12 34 56 C»
national_id personal number «8112189876»
card «4111 1111 1111 1111»
card «5555555555554444» exp 12/29
card «3782-822463-10005»
card «6011 0009 9013 9424»
card «30569309025904»
card «3530111333300000»
card «2223003122003222»
card «\uff14\uff12\uff14\uff12\uff14\uff12\uff14\uff12\uff14\uff12\uff14\uff12\uff14\uff12\uff14\uff12»
card «4242\u00a04242\u00a04242\u00a04242»
card «4000\u200b056655665556»
iban «DE89 3704 0044 0532 0130 00»
iban «GB29NWBK60161331926819»
iban «FR14 2004 1010 0505 0001 3M02 606»
iban «NL91ABNA0417164300»
iban «CH93 0076 2011 6238 5295 7»
iban «NO93 8601 1117 947»
iban «MT84MALT011000012345MTLCAST001S»
iban «BR15 0000 0000 0000 1093 2840 814P 2»
iban «AE07 0331 2345 6789 0123 456»
iban «pl61109010140000071219812874»
ip from «203.0.113.77» at noon
ip client_ip=«198.51.100.23»
ip «10.20.30.40:8080» refused
ip «2001:db8:85a3::8a2e:370:7334»
ip peer [«fe80::1ff:fe23:4567:890a»]
national_id SSN «078-05-1120»
national_id social security number: «536228726»
national_id ITIN «912-70-1234»
national_id CPF «111.444.777-35»
national_id cpf: «11144477735»
national_id «11010519491231002X» 是她的
national_id Aadhaar «2341 2341 2346»
national_id PAN: «ABCPE1234F»
national_id NINO «AB 12 34 56 C»
national_id NHS number «943 476 5919»
national_id my SIN is «130 692 544»
national_id Steuer-ID «36 574 261 809»
national_id BSN «111222333»
national_id PESEL «44051401359»
national_id DNI «12345678Z»
national_id NIE «X-1234567-L»
national_id codice fiscale «RCCMNL83S18D969H»
national_id sécu «2 69 05 49 588 157 80»
national_id «8001015009087» South African
national_id personnummer «811228-9874»
national_id hetu «131052-308T»
national_id fødselsnummer «15108695088»
national_id CPR «211062-5629»
national_id AHV «756.9217.0769.85»
national_id RUT «12.531.909-2»
national_id CURP «BOXW310820HNERXN09»
national_id rodné číslo «710319/2745»
national_id rijksregisternummer «85.07.30-033.28»
national_id TC kimlik «10000000146»
national_id ИНН «500100732259»
national_id СНИЛС «112-233-445 95»
national_id NRIC «S1234567D»
national_id HKID «A123456(3)»
national_id 身分證 «A123456789»
national_id 주민등록번호 «900101-1234568»
national_id passport number «C01X00T47»
national_id CNIC «42201-0397640-8»
national_id SVNR «1237 010180»
national_id EGN «7523169263»
national_id AMKA «01013099997»
""".splitlines()
)
INNOCENTS: Final = tuple(
    """\
const token = await fetchSessionToken(user.id)
token = request.headers.get("x-token")
password = getpass.getpass("Password: ")
password: process.env.DB_PASSWORD
api_key = os.environ["OPENAI_API_KEY"]
api_key=settings.api_key,
"password": "${DB_PASSWORD}"
DB_PASSWORD=$DB_PASSWORD ./run.sh
secret: {{ .Values.secret }}
password: <your-password>
api_key: YOUR_API_KEY
OPENAI_API_KEY=your-key-here
def login(user: str, password: str) -> bool:
interface Login { password: string; token: string }
if (password === confirmPassword) return
const { password, ...rest } = user
password = models.CharField(max_length=128)
client_secret = vault.read("kv/app")
secret = secrets.token_urlsafe(32)
ALTER USER app WITH PASSWORD NULL
password=None
password: Option<String>
api_secret: Rc.Secret
$env:API_KEY = Get-Secret "x"
accessKey: keyof T
tel aviv 1948 2024
the number is 1234567890
010101 101010
password: !vault |
pass = user.pass
cache_key = hash(url)
CACHE_KEY=550e8400-e29b-41d4-a716-446655440000
sec. 4.2.1.3 of the act
1-2-3-4-5-6-7
the password must be at least 12 characters
password is required
The secret of a good pizza is patience
key: value, other_key: other_value
primary_key=True, foreign_key=None
Authorization: Bearer <token>
Authorization: Bearer $TOKEN
curl -u $USER:$PASS https://x.example
docker run -u 1000:1000 alpine
postgres://localhost:5432/app
postgres://$USER:$PASS@localhost/app
https://example.com/path?page=2&sort=asc
https://example.com/blog/2024/05/how-to-rotate-your-api-keys-safely
https://example.com/search?q=token&lang=en
https://example.com/webhooks/getting-started
cookie: chocolate chip
Cookies are stored for 30 days
max_tokens: 4096, total_tokens: 18234
the tokenizer splits "authorization" into three tokens
sk-learn and sk-image are packages
task_manager, risk_model, desk_id
npm_config_registry and hf_hub_download
ghp_ is the prefix of a token
the key-value store uses key-1 and key-2
pk_users, fk_orders_users
sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
commit 3f786850e387550fdab836ed7e6dc881de23001b
etag "d41d8cd98f00b204e9800998ecf8427e"
id 550e8400-e29b-41d4-a716-446655440000
12345678-1234-4123-8123-123456789012
request_id=req_011CSHoEeqs5C35K2UUqR7Fy
toolu_01A09q90qw90lq917835lq9
chatcmpl-8Zl2cQ3mYv6KQ0wq1s3e
01ARZ3NDEKTSV4RRFFQ69G5FAV
507f1f77bcf86cd799439011
call_AbCdEf1234567890
data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk
sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==
integrity sha384-oqVuAfXRKap7fdgcCY5uykM6+R9GqQ8K
@types/node@20.11.5
react@18.2.0 and vite@5.0.12
icon@2x.png and logo@3x.webp
git@github.com:org/repo.git
@app.route("/users/<id>")
follow @ada_lovelace on the network
user@host:~/src$ ls
a@b is no address
meet @ noon
SELECT * FROM t WHERE id = 1234567890
INSERT INTO bars VALUES (1700000000, 190.25, 191.0, 189.5)
order 4711-2024-000123 has shipped
Order number 0123456789 is late
invoice no. 2024-0815-4711
ticket #1234567890
tracking 1Z999AA10123456784
ISBN 978-3-16-148410-0
ISBN 0-306-40615-2
ISBN-10: 0201616224
EAN 4006381333931
ISSN 0317-8471
DOI 10.1000/182
arXiv:2310.06825
RFC 9110 section 15.5.2
section 4.3.2.1 of the contract
§ 1.2.3.4 applies
chapter 12.4.1.3
version 10.0.19045.3803
firmware 1.2.3.4 is out
Chrome/120.0.0.0 Safari/537.36
v2.10.1-rc.3+build.5
python 3.11.7 on linux
numpy==1.26.4
package 4.18.2.1 of the driver
127.0.0.1:8000
localhost:5432
0.0.0.0/0
255.255.255.0
192.168.300.1
::1
std::vector<int>::iterator it
12:34:56.789
2026-11-28T10:21:00.123Z
28.11.2026 10:21
11/28/2026 10:21 AM
20261128-1021
20240115-0930.log
1700000000
1732789260123
epoch 1700000000000000000
from 1990 to 2024
2019 2020 2021 2022
1,234,567.89
€ 1.234.567,89
$12,345.67
1 234 567 PLN
EUR 1 000 000 000
0.00012345 BTC
+12.5% and -3.25%
+1500 points
AAPL 190.25 +2.35 (1.25%)
EUR/USD 1.0845 1.0850
BRK.B 412.33 51234000
ES 4512.25 4513.50 4511.75
strike 4500 call 12.50
volumes 123 456 789 today
rows 98765 43210 differ
levels 412 345 678 hold
scores 555 123 4567
100 200 300 400 500
52.520008, 13.404954
-33.868820 151.209290
48°51'24"N 2°21'03"E
(1920x1080) 16:9
2 3/4 cups, 350 g, 180 °C
3.14159265358979
6.02214076e23
0xDEADBEEF 0b1010
#ff00aa rgb(255, 0, 170)
U+1F600 \\u00e9
00:1b:44:11:3a:b7
zip 94107-1234
PO Box 12345
flight LH 4711 at 10:45, seat 23A
room 101-2, floor 3
S01E05 and S02E10
B2B, 3D, H2O, CO2
GPT-4o-2024-08-06 and gpt-4.1-mini
claude-sonnet-4-5-20250929
gemini-2.5-flash-preview-05-20
meta-llama/Llama-3.1-8B-Instruct
Qwen2.5-72B-Instruct-AWQ
text-embedding-3-large
DE88 3704 0044 0532 0130 00
GB30NWBK60161331926819
4111 1111 1111 1112
1234 5678 9012 3456
111.444.777-36
978-00-1120 of the form
666-05-1120
model XB-12345678
part 12345678A
SKU 1234567X
case 2:23-cv-01234
HTTP/1.1 503 Service Unavailable
GET /v1/models/12345678 200 1534 12ms
[2026-11-28 10:21:00,123] INFO worker-7 took 1534 ms
pid 12345 tid 139872345671424
{"id": 123456789, "count": 42, "ratio": 0.75}
{"created": 1700000000, "usage": {"prompt_tokens": 1234}}
x = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144]
for i in range(1000000000): pass
a[10:20:2] + b[::2]
line 12, column 34567
phone book, call stack, cell culture
mobile first, fax machine
call me maybe
his pin is golden
the recovery phrase is a list of words
error code 500123
postcode SW1A 1AA
my seed is 42
https://github.com/org/repo/commit/3f786850e387550fdab836ed7e6dc881de23001b
https://www.youtube.com/watch?v=dQw4w9WgXcQ
https://docs.example/d/1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms/edit
s3://bucket/2026/11/28/part-00001.parquet
arn:aws:iam::123456789012:role/app
projects/my-project-123456/locations/eu
ami-0abcdef1234567890 in vpc-0a1b2c3d
pod web-7d4b9c6f5-x2x9k restarted
""".splitlines()
)
