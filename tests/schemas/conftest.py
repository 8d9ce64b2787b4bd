"""Every test that reads or writes records does so with each codec there is here."""

from collections.abc import Iterator

import pytest

from schemas import codec


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if any(vars(metafunc.module).get(name) is getattr(codec, name) for name in ("encode", "decode")):
        metafunc.fixturenames.append("codec_in_use")
        metafunc.parametrize("codec_in_use", codec.CODECS, indirect=True, scope="module")


@pytest.fixture(scope="module")
def codec_in_use(request: pytest.FixtureRequest) -> Iterator[str]:
    """Name of the codec behind `encode` and `decode` of the module that asks."""
    name: str = request.param
    with pytest.MonkeyPatch.context() as patch:
        for function in ("encode", "decode", "decode_fields"):
            patch.setattr(codec, function, getattr(codec.CODECS[name], function))
            if function in vars(request.module):
                patch.setattr(request.module, function, getattr(codec.CODECS[name], function))
        yield name
