"""How every process of ours begins: settings read, logs configured, schemas agreed with the registry."""

from ops.logs import configure_logging, get_logger
from ops.metrics import count_exits
from ops.settings import Settings, get_settings


def begin(process: str) -> Settings:
    """The settings of this process, which is called `process` in its logs.

    With a registry the locked schemas are compared with it; one that is away stops nobody.
    Raises `pydantic.ValidationError` naming a wrong variable, `SchemaLockBroken` when the registry differs.
    """
    settings = get_settings()
    configure_logging(settings, process)
    count_exits(settings.exits)
    if settings.registry_url is not None:
        # Imported here: without a registry nobody should wait for an HTTP client.
        from schemas.resolve import Away, agree

        match agree(settings.registry_url):
            case Away(reason):
                get_logger().warning("schema registry away, the locked ids serve", reason=reason)
            case agreed:
                get_logger().info("schemas agree with the registry", schemas=agreed.schemas)
    return settings
