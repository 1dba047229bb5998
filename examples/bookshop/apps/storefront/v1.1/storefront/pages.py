"""The pages. Everything that comes from a service or a person is escaped here."""

from html import escape
from urllib.parse import quote

from storefront import VERSION

SHOP = "Lantern &amp; Quill"
LANTERN = (
    '<svg viewBox="0 0 24 24" width="30" height="30" aria-hidden="true"><path fill="none" stroke="currentColor" stroke-width="1.5" '
    'd="M12 2v3M8 5h8l1.5 3v9L16 20H8l-1.5-3V8L8 5Z"/><path fill="currentColor" d="M12 9c2 2.4 2.6 3.4 2.6 4.7a2.6 2.6 0 0 1-5.2 0C9.4 12.4 10 11.4 12 9Z"/></svg>'
)


def layout(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<header class="top"><a href="/" class="brand">{LANTERN}<span>{SHOP}</span></a>
<form class="find" action="/" role="search"><input name="q" type="search" placeholder="Search title or author" aria-label="Search title or author"></form></header>
<main>{body}</main>
<footer>{SHOP} · open late, lit always · storefront {VERSION}</footer>
</body>
</html>
"""


def front(shelves: list, books: list, ratings: dict, shelf: str, text: str) -> str:
    tabs = ['<a href="/"' + ("" if shelf else ' class="here"') + ">Everything</a>"]
    for item in shelves:
        here = ' class="here"' if item["slug"] == shelf else ""
        tabs.append(f'<a href="/?shelf={quote(item["slug"])}"{here}>{escape(item["name"])} <small>{item["books"]}</small></a>')
    cards = "".join(card(item, ratings.get(item["slug"])) for item in books)
    empty = '<p class="empty">Nothing on this shelf yet.</p>'
    heading = f"<h2>“{escape(text)}”</h2>" if text else ""
    welcome = hero(books, ratings) if books and not (shelf or text) else ""
    return layout(
        f"{SHOP}, booksellers",
        f"""{welcome}<nav class="tabs" aria-label="Shelves">{"".join(tabs)}</nav>{heading}
<div class="grid">{cards or empty}</div>""",
    )


def hero(books: list, ratings: dict) -> str:
    loved = sorted(books, key=lambda book: (-(ratings.get(book["slug"]) or {"average": 0})["average"], book["year"]))
    fan = "".join(
        f'<a href="/books/{quote(book["slug"])}"><img src="/covers/{quote(book["slug"])}.svg" width="150" height="225" alt="{escape(book["title"])}"></a>'
        for book in loved[:3]
    )
    return f"""<section class="hero"><div><h1>Old books,<br>lamplight included.</h1>
<p>{len(books)} classics on {len({book["shelf"]["slug"] for book in books})} shelves, read and rated by people who finished them.</p></div>
<div class="fan">{fan}</div></section>"""


def card(book: dict, rating: dict) -> str:
    slug = quote(book["slug"])
    ribbon = f'<span class="ribbon">{escape(book["offer"]["label"])}</span>' if book.get("offer") else ""
    return f"""<a class="card" href="/books/{slug}"><span class="cover"><img src="/covers/{slug}.svg" width="200" height="300" alt="" loading="lazy">{ribbon}</span>
<b>{escape(book["title"])}</b><span class="by">{escape(book["author"])}</span>
<span class="line">{stars(rating)}{price(book)}</span></a>"""


def stars(rating) -> str:
    if not rating:
        return '<span class="stars none">not rated</span>'
    average, count = rating["average"], rating["count"]
    return (
        f'<span class="stars" style="--part: {average * 20:.0f}%" role="img" aria-label="{average:.1f} of 5 stars"></span>'
        f'<small>{count}</small>'
    )


def price(book: dict) -> str:
    if book.get("offer"):
        return f'<span class="price"><s>{escape(book["price"])}</s> {escape(book["offer"]["price"])}</span>'
    return f'<span class="price">{escape(book["price"])}</span>'


def book(book: dict, reviews: list, key: str, said: str) -> str:
    slug = quote(book["slug"])
    note = f'<p class="said" role="status">{escape(said)}</p>' if said else ""
    rating = None
    if reviews:
        rating = {"average": sum(review["stars"] for review in reviews) / len(reviews), "count": len(reviews)}
    listed = "".join(
        f"""<figure><div class="line">{stars({"average": review["stars"], "count": ""})}</div>
<blockquote>{escape(review["text"])}</blockquote><figcaption>{escape(review["reader"])}</figcaption></figure>"""
        for review in reviews
    )
    choices = "".join(f'<option value="{count}">{"★" * count}</option>' for count in range(5, 0, -1))
    return layout(
        f'{escape(book["title"])} · {SHOP}',
        f"""{note}<article class="book">
<img class="large" src="/covers/{slug}.svg" width="300" height="450" alt="Cover of {escape(book["title"])}">
<div><p class="by"><a href="/?shelf={quote(book["shelf"]["slug"])}">{escape(book["shelf"]["name"])}</a></p>
<h1>{escape(book["title"])}</h1>
<p class="by">{escape(book["author"])} · {book["year"]} · {book["pages"]} pages</p>
<p class="line">{stars(rating)}</p>
<p class="blurb">{escape(book["blurb"])}</p>
<p class="large-price">{price(book)}</p>
<form method="post" action="/books/{slug}/order"><input type="hidden" name="key" value="{key}">
<input name="to" type="email" required placeholder="Your mail address" aria-label="Your mail address"><button>Put aside for me</button></form>
</div></article>
<h2>What readers say</h2><section class="reviews">{listed or '<p class="empty">Nobody yet. Be the first.</p>'}</section>
<form class="write" method="post" action="/books/{slug}/review"><input type="hidden" name="key" value="{key}">
<input name="reader" required placeholder="Your name" aria-label="Your name">
<select name="stars" aria-label="Stars">{choices}</select>
<input name="text" required placeholder="What did you think?" aria-label="What did you think?"><button>Add review</button></form>""",
    )


def sorry(title: str, text: str) -> str:
    return layout(title, f'<section class="hero"><div><h1>{escape(title)}</h1><p>{escape(text)}</p><p><a href="/">To the front page</a></p></div></section>')
