"""Django settings. Everything that differs between places comes from the environment; see deploy/env.example."""

import os
import secrets
from pathlib import Path

import environ
from csp.constants import NONCE

from annotator import checks

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parent.parent

# `local` needs nothing configured and keeps its state in ECGFM_HOME; `production` refuses to guess (checks.py).
ECGFM_ENV = env.str("ECGFM_ENV", default="local")
checks.check_environment(ECGFM_ENV)
PRODUCTION = ECGFM_ENV == "production"
DEBUG = env.bool("ECGFM_DEBUG", default=False)
ECGFM_HOME = Path(env.str("ECGFM_HOME", default=str(BASE_DIR / ".ecgfm"))).resolve()


def _local_secret(name: str) -> str:
    """Return a secret from the environment, or, outside production, one made once and kept in ECGFM_HOME."""
    value = env.str(name, default="")
    if value or PRODUCTION:
        return value
    path = ECGFM_HOME / "secrets" / name.lower()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(64))
        try:
            os.link(draft, path)  # atomic: of several processes that start at once, one wins
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()


SECRET_KEY = _local_secret("SECRET_KEY")
PATIENT_HASH_KEY = _local_secret("PATIENT_HASH_KEY")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[] if PRODUCTION else ["localhost", "127.0.0.1", "[::1]"])
if PRODUCTION:
    checks.check_production(
        secrets={"SECRET_KEY": SECRET_KEY, "PATIENT_HASH_KEY": PATIENT_HASH_KEY},
        debug=DEBUG,
        allowed_hosts=ALLOWED_HOSTS,
    )
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "annotator.apps.AnnotatorConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "knox",
    "axes",
    "csp",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "annotator.urls"
WSGI_APPLICATION = "annotator.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "frontend" / "templates"],
        "APP_DIRS": True,  # the API documentation brings its page
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
            ],
        },
    },
]

# launcher.services sets both where nothing is configured.
DATABASES = {"default": env.db_url("DATABASE_URL", default="postgresql://localhost/ecgfm")}
DATABASES["default"]["ENGINE"] = "django.db.backends.postgresql"
DATABASES["default"].setdefault("OPTIONS", {})
DATABASES["default"]["OPTIONS"]["pool"] = {"min_size": 1, "max_size": env.int("DATABASE_POOL_SIZE", default=8)}
DATABASES["default"]["OPTIONS"]["prepare_threshold"] = 0  # concerns annotator.sql alone: Django binds in the client
BROKER_URL = env.str("BROKER_URL", default="redis://localhost:6379/0")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "annotator.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "annotator.sign_in.Backend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "annotator.pages.sign_in.client_address"
AXES_LOCKOUT_CALLABLE = "annotator.pages.sign_in.locked_out"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "worklist"
LOGOUT_REDIRECT_URL = "login"
SESSION_ENGINE = "annotator.sign_in"
SESSION_COOKIE_AGE = 12 * 3600

LANGUAGE_CODE = "en"
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = env.path("STATIC_ROOT", default=str(BASE_DIR / "staticfiles"))
STATICFILES_DIRS = [
    BASE_DIR / "frontend" / "static",
    ("vendor", BASE_DIR / "frontend" / "node_modules" / "plotly.js-basic-dist-min"),
]
# Local runs serve straight from frontend/, production from what collectstatic wrote.
WHITENOISE_USE_FINDERS = not PRODUCTION

# Folders that web and workers share; on several hosts, a shared file system.
WAVEFORM_DIR = Path(env.str("WAVEFORM_DIR", default=str(ECGFM_HOME / "waveforms")))
CHECKPOINT_DIR = Path(env.str("CHECKPOINT_DIR", default=str(ECGFM_HOME / "checkpoints")))
RELEASE_DIR = Path(env.str("RELEASE_DIR", default=str(ECGFM_HOME / "releases")))
# The only place on the server that an import may name; uploads land below it.
IMPORT_DIR = Path(env.str("IMPORT_DIR", default=str(ECGFM_HOME / "imports")))
UPLOAD_LIMIT_MB = env.int("UPLOAD_LIMIT_MB", default=2048)
ARRIVAL_LIMIT_MB = env.int("ARRIVAL_LIMIT_MB", default=50)

LEASE_S = env.int("LEASE_S", default=15 * 60)
JOB_HEARTBEAT_S = env.int("JOB_HEARTBEAT_S", default=5)
JOB_STALE_S = env.int("JOB_STALE_S", default=30)  # a silent job is given to another worker
JOB_ATTEMPTS = env.int("JOB_ATTEMPTS", default=3)
RETRAIN_AFTER_CORRECTIONS = env.int("RETRAIN_AFTER_CORRECTIONS", default=100)  # 0 turns the rule off
RERANK_AFTER_CORRECTIONS = env.int("RERANK_AFTER_CORRECTIONS", default=10)  # the open round's queue; 0 turns it off
GATE_MARGIN = env.float("GATE_MARGIN", default=0.02)  # area under the ROC curve that a promoted checkpoint may lose
GATE_POSITIVES_MIN = env.int("GATE_POSITIVES_MIN", default=100)  # that a label needs on the test split to be judged
checks.check_gate(margin=GATE_MARGIN, positives_min=GATE_POSITIVES_MIN)
TRAINING_THREADS = env.int("TRAINING_THREADS", default=1)
_processes = env.str("TRAINING_PROCESSES", default="auto")
TRAINING_PROCESSES = 0 if _processes == "auto" else int(_processes)  # at most; 0: one a GPU

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "knox.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["annotator.permissions.DenyUnlessRole"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],  # files only where a view says so
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.CursorPagination",
    "PAGE_SIZE": 100,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "annotator.api.errors.handle",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "ECGFM",
    "DESCRIPTION": "Recordings, reading, rounds, training and curated releases.",
    "VERSION": "1",
    "ENUM_NAME_OVERRIDES": {
        "JobStateEnum": "annotator.models.jobs.JobState",
        "RoundStateEnum": "annotator.models.rounds.Round.State",
        "CheckpointStateEnum": "annotator.models.checkpoints.Checkpoint.State",
    },
    "SERVE_PERMISSIONS": ["annotator.permissions.AnyRole"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}
REST_KNOX = {"TOKEN_TTL": None, "AUTO_REFRESH": False}

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'", NONCE],
        "style-src": ["'self'", "'unsafe-inline'"],  # Plotly writes style elements
        "img-src": ["'self'", "data:", "blob:"],
        "connect-src": ["'self'"],
        "font-src": ["'self'"],
        "manifest-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SECURE_SSL_REDIRECT = PRODUCTION and env.bool("SECURE_SSL_REDIRECT", default=True)
SECURE_REDIRECT_EXEMPT = [r"^health$", r"^ready$"]  # asked by load balancers inside, without TLS
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000) if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = PRODUCTION
BEHIND_PROXY = env.bool("BEHIND_PROXY", default=False)
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
}
