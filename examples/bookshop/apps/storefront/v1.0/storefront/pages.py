"""The pages. Everything that comes from a service or a person is escaped here."""

from html import escape
from urllib.parse import quote

from storefront import VERSION

SHOP = "Lantern &amp; Quill"


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
<header class="top"><a href="/" class="brand">{SHOP}</a><span class="motto">Booksellers</span></header>
<main>{body}</main>
<footer>{SHOP} · storefront {VERSION}</footer>
</body>
</html>
"""


def front(shelves: list, books: list, shelf: str, text: str) -> str:
    tabs = ['<a href="/"' + ("" if shelf else ' class="here"') + ">All books</a>"]
    for item in shelves:
        here = ' class="here"' if item["slug"] == shelf else ""
        tabs.append(f'<a href="/?shelf={quote(item["slug"])}"{here}>{escape(item["name"])}</a>')
    listed = "".join(row(item) for item in books) or '<p class="empty">No book here yet.</p>'
    return layout(
        f"{SHOP}, booksellers",
        f"""<nav class="tabs">{"".join(tabs)}</nav>
<form class="find" action="/"><input name="q" value="{escape(text)}" placeholder="Title or author" aria-label="Title or author"><button>Find</button></form>
<div class="list">{listed}</div>""",
    )


def row(book: dict) -> str:
    address = f'/books/{quote(book["slug"])}'
    return f"""<a class="row" href="{address}">
<img src="/covers/{quote(book["slug"])}.svg" width="80" height="120" alt="" loading="lazy">
<span class="words"><b>{escape(book["title"])}</b><span>{escape(book["author"])}, {book["year"]}</span></span>
<span class="price">{escape(book["price"])}</span></a>"""


def book(book: dict, reviews: list, key: str, said: str) -> str:
    address = f'/books/{quote(book["slug"])}'
    note = f'<p class="said" role="status">{escape(said)}</p>' if said else ""
    listed = "".join(
        f'<li><b>{escape(review["reader"])}</b>, {review["stars"]} of 5<br>{escape(review["text"])}</li>' for review in reviews
    )
    return layout(
        f'{escape(book["title"])} · {SHOP}',
        f"""{note}<article class="book">
<img src="/covers/{quote(book["slug"])}.svg" width="240" height="360" alt="Cover of {escape(book["title"])}">
<div><h1>{escape(book["title"])}</h1>
<p class="by">{escape(book["author"])}, {book["year"]} · {book["pages"]} pages</p>
<p>{escape(book["blurb"])}</p>
<p class="price">{escape(book["price"])}</p>
<form method="post" action="{address}/order"><input type="hidden" name="key" value="{key}">
<input name="to" type="email" required placeholder="Your mail address" aria-label="Your mail address"><button>Order</button></form>
</div></article>
<h2>Reviews</h2><ul class="reviews">{listed or "<li>None yet.</li>"}</ul>
<form class="write" method="post" action="{address}/review"><input type="hidden" name="key" value="{key}">
<input name="reader" required placeholder="Your name" aria-label="Your name">
<input name="stars" type="number" min="1" max="5" value="5" required aria-label="Stars, 1 to 5">
<input name="text" required placeholder="What did you think?" aria-label="What did you think?"><button>Add review</button></form>""",
    )


def sorry(title: str, text: str) -> str:
    return layout(title, f'<h1>{escape(title)}</h1><p>{escape(text)}</p><p><a href="/">To the front page</a></p>')
