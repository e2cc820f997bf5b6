"""Which service answers a run: live, the sandbox, or for sessions a file of one's own."""

from __future__ import annotations

from dataclasses import dataclass

from helpers.core.errors import AccessError, ParameterError
from helpers.core.parameters import Parameters
from helpers.core.settings import MAVERA_BASE_URL, WISTIA_BASE_URL, Settings

ASKS = {"wistia": ("01", "02", "03", "06"), "mavera": ("04", "05")}
"""Numbers of the stages that cannot do without a service."""


DESCRIPTIONS = {
    ("wistia", "live"): "Wistia, live",
    ("wistia", "file"): "own sessions, from a file",
    ("wistia", "sandbox"): "Wistia sandbox: invented sample data",
    ("mavera", "live"): "Mavera, live: calls cost credits",
    ("mavera", "sandbox"): "Mavera sandbox: play credits, simulated answers",
}


@dataclass(frozen=True)
class Sources:
    """Where each service's answers come from: live, sandbox, and for Wistia also file."""

    wistia: str
    mavera: str

    @classmethod
    def of(cls, settings: Settings, params: Parameters, stages: tuple[str, ...]) -> Sources:
        """Which service is live and which is the sandbox.

        Raises
        ------
        ParameterError
            A base URL is set without its key.
        AccessError
            ``source`` is live and a key that the stages need is missing.
        """
        if params.source == "sandbox":
            return cls("file" if params.sessions_file else "sandbox", "sandbox")
        keys = {
            "wistia": (settings.wistia_api_token, settings.wistia_base_url, "WISTIA_API_TOKEN"),
            "mavera": (settings.mavera_api_key, settings.mavera_base_url, "MAVERA_API_KEY"),
        }
        kinds = {}
        for service, (key, address, name) in keys.items():
            if service == "wistia" and params.sessions_file:
                kinds[service] = "file"
                continue
            if address and not key:
                raise ParameterError(
                    f"{service.upper()}_BASE_URL is set but {name} is not.",
                    expected="an address together with its key",
                    remedy=f"Set {name} in the environment or .env, or unset the address.",
                )
            needed = any(stage[:2] in ASKS[service] for stage in stages)
            if params.source == "live" and not key and needed:
                raise AccessError(
                    f"source is live, but {name} is not set.",
                    remedy=f"Set {name} in the environment or .env, or choose source auto or "
                    "sandbox.",
                )
            kinds[service] = "live" if key else "sandbox"
        return cls(**kinds)

    def describe(self) -> list[str]:
        """A line for each service."""
        pairs = (("wistia", self.wistia), ("mavera", self.mavera))
        return [f"Source   {DESCRIPTIONS[pair]}" for pair in pairs]

    @property
    def uses_sandbox(self) -> bool:
        return "sandbox" in (self.wistia, self.mavera)

    def account(self, settings: Settings) -> str:
        """The account of a run: the setting, or what stands for Wistia."""
        if self.wistia == "sandbox":
            return "sandbox"
        if self.wistia == "file" and "account" not in settings.model_fields_set:
            return "file"
        return settings.account

    def wistia_identity(self, settings: Settings) -> str:
        """What a store is bound to: Wistia's address, or ``sandbox`` or ``file``."""
        if self.wistia != "live":
            return self.wistia
        return (settings.wistia_base_url or WISTIA_BASE_URL).rstrip("/")

    def mavera_identity(self, settings: Settings) -> str:
        """What a ledger is named after: Mavera's address, or ``sandbox``, whose port changes."""
        if self.mavera != "live":
            return self.mavera
        return (settings.mavera_base_url or MAVERA_BASE_URL).rstrip("/")
