"""What the parts of an invoice are called, in German, English and French.

Each table lists the surest names first: a name further down counts only where none above it was found.
"""

from __future__ import annotations

import re
from typing import Final


def _tiers(*tiers: str) -> tuple[re.Pattern[str], ...]:
    """One pattern for each tier: any of its names (separated by `;`) at the start of a line."""
    patterns = []
    for tier in tiers:
        names = "|".join(re.sub(r"\s+", r"\\s+", name.strip()) for name in tier.split(";"))
        patterns.append(re.compile(rf"(?:{names})(?![\w-])\s*[:.]?\s*", re.IGNORECASE))
    return tuple(patterns)


TITLES: Final[tuple[tuple[str, str | None], ...]] = (
    (r"Pro[- ]?forma[- ]?(?:Rechnung|Invoice)|Facture\s+pro\s*forma", "325"),
    (r"(?:Rechnungs)?Korrekturrechnung|Rechnungskorrektur|Corrected\s+invoice|Corrective\s+invoice|Facture\s+rectificative", "384"),
    (r"Self[- ]?billed\s+invoice|Selbst\s+ausgestellte\s+Rechnung", "389"),
    (r"Rechnung\s+des\s+Versicherers|Insurer'?s\s+invoice", "575"),
    (r"Abschlagsrechnung|Anzahlungsrechnung|Prepayment\s+invoice|Facture\s+d['’]acompte", "386"),
    (r"Teilrechnung|Partial\s+invoice", "326"),
    (r"Mietrechnung|Hire\s+invoice", "387"),
    (r"Rechnungsgutschrift|Gutschrift|Credit\s+note|Credit\s+memo|Avoir", "381"),
    (r"Handelsrechnung|Commercial\s+invoice", "380"),
    (r"Schlussrechnung|Rechnung|Tax\s+invoice|VAT\s+invoice|Sales\s+invoice|Invoice|Facture", None),
)
"""Titles and the UNTDID 1001 code that they stand for; None for an invoice of a kind not told by its title."""

OTHER_TITLES: Final = (
    r"Zahlungserinnerung|Mahnung|Letzte\s+Mahnung|Lieferschein|Angebot|Kostenvoranschlag|Auftragsbestätigung|Bestellung|Kontoauszug|Saldenbestätigung"
    r"|Payment\s+reminder|Reminder|Delivery\s+note|Packing\s+list|Quotation|Quote|Estimate|Order\s+confirmation|Purchase\s+order"
    r"|(?:Account\s+)?Statement(?:\s+of\s+account)?|Receipt|Remittance\s+advice|Contract|Devis|Bon\s+de\s+livraison|Relevé|Rappel|Bon\s+de\s+commande"
)
"""Titles of documents that ask for nothing, or ask again for what an invoice asked before."""

NUMBER: Final = _tiers(
    r"Rechnungs-?\s?(?:nummer|nr\.?);Rechnung\s*(?:Nr\.?|Nummer|No\.?|#);Invoice\s*(?:number|no\.?|nr\.?|#|ID);Inv\.?\s*(?:no\.?|#)"
    r";Facture\s*(?:n[°ºo]\.?|num[ée]ro);Num[ée]ro\s+de\s+facture"
    r";Gutschrifts?-?\s?(?:nummer|nr\.?);Gutschrift\s*(?:Nr\.?|Nummer|#);Credit\s+(?:note|memo)\s*(?:number|no\.?|#);Avoir\s*n[°ºo]\.?"
    r";Korrektur(?:rechnung)?s?-?\s?(?:nummer|nr\.?);Rechnungskorrektur\s*(?:Nr\.?|Nummer)",
    r"Beleg-?\s?(?:nummer|nr\.?);Document\s*(?:number|no\.?);RE-?Nr\.?",
)

DATE: Final = _tiers(
    r"Rechnungsdatum;Rechnung\s+vom;Datum\s+der\s+Rechnung;Invoice\s+date;Date\s+of\s+invoice;Date\s+de\s+(?:la\s+)?facture"
    r";Gutschriftsdatum;Datum\s+der\s+Gutschrift;Credit\s+note\s+date;Belegdatum;Ausstellungsdatum;Issue\s+date;Date\s+of\s+issue;Issued(?:\s+on)?",
    r"Datum;Date;(?:[A-ZÄÖÜ][\w.-]+(?:\s[\w.-]+)?),\s+(?:den|le)",
)

DUE_DATE: Final = _tiers(
    r"F[äa]lligkeitsdatum;F[äa]llig(?:keit)?(?:\s+(?:am|bis))?(?:\s+zum)?;Zahlungsziel;Zahlbar\s+bis(?:\s+zum)?;Due\s+date;Payment\s+due(?:\s+(?:by|date|on))?"
    r";Due\s+(?:on|by);Date\s+d['’]échéance;[ÉE]chéance",
    r"Bitte\s+(?:überweisen|zahlen)\s+Sie\s+(?:.*?\s)?bis(?:\s+zum)?;Please\s+(?:remit|pay)\s+(?:.*?\s)?(?:until|by|before)"
    r";Zahlbar\s+(?:.*?\s)?netto\s+bis(?:\s+zum)?;Zahlbar\s+ohne\s+Abzug\s+bis(?:\s+zum)?",
)

CURRENCY: Final = _tiers(r"Währung;Rechnungswährung;Currency;Invoice\s+currency;Devise;Monnaie")

SELLER: Final = _tiers(
    r"Verkäufer(?:in)?;Rechnungssteller;Rechnungsaussteller;Lieferant;Leistungserbringer;Absender;Seller;Supplier;Vendor;From;Issued\s+by;Bill\s+from;Vendeur;Fournisseur"
)
BUYER: Final = _tiers(
    r"Käufer(?:\s*/\s*Leistungsempfänger)?;Rechnungsempfänger;Leistungsempfänger;Rechnung\s+an;Rechnungsanschrift;Rechnungsadresse;Buyer;Bill(?:ed)?\s+to;Invoice\s+to"
    r";Sold\s+to;Invoiced\s+to;Acheteur;Factur[ée]\s+à;Adresse\s+de\s+facturation",
    r"Kunde;Customer;An;To;Client",
)

AMOUNTS: Final = {
    "net": _tiers(
        r"Rechnungssumme\s+ohne\s+USt;Summe\s+netto;Nettosumme;Netto-?gesamt(?:betrag)?;Gesamt(?:betrag)?\s+\(?netto\)?;Nettobetrag;Gesamt\s+netto;Rechnungsbetrag\s+netto"
        r";Net\s+total;Total\s+net(?:\s+amount)?;Net\s+amount;Total\s+excl(?:uding|\.)?\s+(?:VAT|tax);Total\s+without\s+(?:VAT|tax);Total\s+\(excl\.?\s+VAT\);Total\s+HT;Montant\s+HT",
        r"Zwischensumme(?:\s+netto)?;Warenwert;Netto;Sub-?total;Net;Sous-total(?:\s+HT)?",
    ),
    "tax": _tiers(
        r"Steuerbetrag;(?:USt|MwSt|Umsatzsteuer|Mehrwertsteuer)\.?\s+(?:gesamt|Summe);Summe\s+(?:der\s+)?(?:USt|MwSt|Umsatzsteuer|Mehrwertsteuer)\.?;Gesamtsteuer(?:betrag)?"
        r";(?:VAT|Tax)\s+total;Total\s+(?:VAT|tax|taxes|TVA);(?:VAT|Tax)\s+amount;Montant\s+TVA",
    ),
    "total": _tiers(
        r"Bruttosumme;Bruttobetrag;Gesamt(?:betrag|summe)\s+\(?brutto\)?;Gesamt\s+brutto;Summe\s+brutto;Rechnungsbetrag(?:\s+\(?brutto\)?)?;Gesamtbetrag(?:\s+inkl\.?\s+(?:USt|MwSt)\.?)?"
        r";Endbetrag;Gesamtsumme;Rechnungsendbetrag;Gutschriftsbetrag(?:\s+brutto)?;Grand\s+total;Invoice\s+total;Total\s+amount;Gross\s+(?:total|amount)"
        r";Total\s+\(?incl(?:uding|\.)?\s+(?:VAT|tax)\)?;Total\s+gross;Total\s+TTC;Total\s+credit;Credit\s+total",
        r"Gesamt;Summe;Total(?:\s+(?:EUR|USD|CHF|GBP))?",
    ),
    "prepaid": _tiers(
        r"Erhaltene\s+Anzahlung(?:en)?;(?:abzgl\.|abzüglich|minus|-)?\s*(?:Anzahlung(?:en)?|Bereits\s+(?:gezahlt|bezahlt|beglichen)|geleistete\s+Anzahlung(?:en)?)"
        r";Offene\s+Zahlungen;(?:Less\s+)?(?:Deposit|Prepaid|Prepayment|Advance\s+payment|Amount\s+paid|Payments?\s+received|Paid)(?:\s+amount)?;Acompte(?:\s+versé)?",
    ),
    "due": _tiers(
        r"Zahlbetrag;Zahlungsbetrag;(?:Noch\s+)?zu\s+zahlen(?:der\s+Betrag)?;Offener\s+(?:Betrag|Rechnungsbetrag);Restbetrag;Fälliger\s+Betrag;Auszahlungsbetrag;Zu\s+zahlender\s+Betrag"
        r";(?:Total\s+)?Amount\s+(?:due|payable);Balance\s+due;Total\s+due;Due\s+payable;Amount\s+to\s+pay;Outstanding(?:\s+amount)?;Residual;Solde\s+à\s+payer;Net\s+à\s+payer;Reste\s+à\s+payer",
    ),
    "rounding": _tiers(r"Rundung(?:sbetrag|sdifferenz)?;Rounding;Arrondi"),
}

TAX_LINE: Final = re.compile(
    r"""(?:zzgl\.?|zuzüglich|plus|\+|add)?\s*
    (?:(?P<before>\d{1,2}(?:[.,]\d{1,2})?)\s*%\s*)?
    (?:gesetzl(?:\.|iche)\s+)?(?:USt|MwSt|Umsatzsteuer|Mehrwertsteuer|VAT|Sales\s+tax|GST|TVA)\b\.?
    (?:\s+collectée\s+\(vente\))?
    \s*\(?(?:(?P<after>\d{1,2}(?:[.,]\d{1,2})?)\s*%)?\)?
    (?:\s*(?:on|auf|von|aus|sur)\s+[^\d-]{0,12}(?P<basis>-?[\d.,'’\u00a0]*\d)(?:\s*(?:EUR|USD|CHF|GBP|[€$£]))?)?
    \s*[:=]?\s*(?P<rest>.*)""",
    re.VERBOSE | re.IGNORECASE,
)
"""A line that states one tax: rate before or after the word, perhaps its basis, then the amount."""

EXEMPT: Final = re.compile(
    r"§\s*19\s+UStG|Kleinunternehmer|steuerfrei|umsatzsteuerbefreit|reverse[- ]charge|Steuerschuldnerschaft\s+des\s+Leistungsempfängers"
    r"|VAT[- ]exempt|exempt\s+from\s+VAT|not\s+subject\s+to\s+VAT"
    r"|outside\s+the\s+scope\s+of\s+(?:\w+\s+)?VAT|zero[- ]rated|no\s+VAT\s+(?:is\s+)?charged"
    r"|Exonération\s+de\s+TVA|Autoliquidation",
    re.IGNORECASE,
)
"""What an invoice says that states no tax because none is owed."""
