"""Assets. Every amount is an integer of minor units of one asset; no float touches money."""

CURRENCIES = frozenset({"EUR", "USD", "GBP", "CAD"})
"""What merchants fund rewards in; all have two decimals."""

POINTS = "XXX"
"""Points on the wire: ISO 4217 for "no currency"."""

AMOUNT_MAX = 10**14
"""Largest amount of one event, minor units: sums over any purchase stay far inside int64."""

SUM_MAX = 10**18
"""Where sums over many purchases end, minor units or points: a row of state or an int64 takes no more."""

_CODES = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD "
    "CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP "
    "GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW "
    "KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN "
    "NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD "
    "SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW "
    "UZS VED VES VND VUV WST XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD XPF XPT XSU XTS XUA XXX YER "
    "ZAR ZMW ZWG "
)

ISO_4217 = frozenset(_CODES.split())
"""Codes a payment may carry; those other than `CURRENCIES` match no program."""


def amount_text(amount: int, asset: str, *, sign: bool = False) -> str:
    """An amount as people read it, without its code: 1,234.50, points 1,234. `sign`: + above 0."""
    mark = "-" if amount < 0 else "+" if sign and amount else ""
    if asset == POINTS:
        return f"{mark}{abs(amount):,}"
    whole, cents = divmod(abs(amount), 100)
    return f"{mark}{whole:,}.{cents:02d}"
