"""Conversations between two users and in groups."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor

from playwright.async_api import Route, expect

from tests.e2e.accessibility import serious_violations
from tests.e2e.conftest import CreateUser, OpenApp


async def test_finding_someone_and_starting_a_chat(open_app: OpenApp, create_user: CreateUser) -> None:
    """Neither of the two has to reload the page."""
    an, binh = await open_app(create_user("An Search")), await open_app(create_user("Zbinh Found"))
    await an.page.get_by_role("button", name="Start a chat").click()
    await an.page.get_by_role("searchbox", name="Search people").fill("zbinh")
    await an.page.get_by_role("checkbox").check()
    await an.page.get_by_role("button", name="Start chat").click()
    await an.send("Hello!")
    await expect(binh.conversation_row("An Search")).to_contain_text("Hello!")
    await expect(binh.page).to_have_title("(1) Loa")
    await binh.open_conversation("An Search")
    await expect(binh.message("Hello!")).to_be_visible()
    await expect(binh.page).to_have_title("Loa")


async def test_the_list_does_not_claim_to_be_empty_before_it_is_loaded(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    app = await open_app(create_user("An"), goto=False)
    asked = asyncio.Event()

    async def hold(route: Route) -> None:
        await asked.wait()
        await route.continue_()

    await app.page.route("**/api/v1/conversations?*", hold)
    await app.goto()
    chats = app.page.get_by_role("navigation", name="Chats")
    await expect(chats).to_contain_text("Loading…")
    await expect(chats).not_to_contain_text("No chats yet")
    asked.set()
    await expect(chats).to_contain_text("No chats yet")


async def test_a_search_for_people_goes_on_after_an_empty_page(open_app: OpenApp, create_user: CreateUser) -> None:
    """The server reads a bounded number of users for a page."""
    an, binh = create_user("An"), create_user("Bình Trần")
    app = await open_app(an)
    asked: list[str] = []

    async def empty_first(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:
            await route.fulfill(json={"items": [], "next": "a"})
        else:
            await route.continue_()

    await app.page.route("**/api/v1/users?query=*", empty_first)
    await app.page.get_by_role("button", name="New chat").click()
    await app.page.get_by_role("searchbox", name="Search people").fill(f"{binh.username} bình")
    await expect(app.page.get_by_role("dialog").get_by_text(f"@{binh.username}")).to_be_visible()
    assert "before=a" in asked[1]


async def test_a_message_is_shown_as_sent_and_then_as_read(open_app: OpenApp, create_user: CreateUser) -> None:
    an, binh = create_user("An"), create_user("Bình")
    an.create_conversation(binh)
    sender, recipient = await open_app(an), await open_app(binh)
    await sender.open_conversation("Bình")
    await sender.send("Are you there?")
    await expect(sender.message("Are you there?")).to_contain_text("Sent")
    await expect(recipient.conversation_row("An")).to_contain_text("1 unread")
    await recipient.open_conversation("An")
    await expect(sender.message("Are you there?")).to_contain_text("Read")


async def test_typing_and_presence_are_shown(open_app: OpenApp, create_user: CreateUser) -> None:
    """Until the field is emptied or left, the message is sent, and until the other user disconnects."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    an_app, binh_app = await open_app(an), await open_app(binh)
    await an_app.open_conversation("Bình")
    await binh_app.open_link(conversation)
    await expect(an_app.page.locator(".pane .presence")).to_have_text("Online")
    await binh_app.composer.press_sequentially("Hm")
    indicator = an_app.page.locator(".typing-indicator")
    await expect(indicator).to_have_text("Bình is typing…")
    await binh_app.composer.fill("")
    # Much less than the five seconds after which it would expire.
    await expect(indicator).to_have_text("", timeout=2500)
    await binh_app.composer.press_sequentially("Hm")
    await expect(indicator).to_have_text("Bình is typing…")
    await binh_app.goto("/#/posts")
    await expect(indicator).to_have_text("", timeout=2500)
    await binh_app.open_link(conversation)
    await expect(binh_app.composer).to_have_value("Hm")
    await binh_app.composer.press("!")
    await expect(indicator).to_have_text("Bình is typing…")
    await binh_app.composer.press("Enter")
    await expect(an_app.message("Hm!")).to_be_visible()
    await expect(indicator).to_have_text("")
    await binh_app.page.close()
    await expect(an_app.page.locator(".pane .presence")).to_contain_text("Last seen")


async def test_edits_replies_reactions_and_deletions_reach_the_other_user(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    an_app, binh_app = await open_app(an), await open_app(binh)
    await an_app.open_conversation("Bình")
    await binh_app.open_link(conversation)
    await an_app.send("Lunch at twelve?")
    await expect(an_app.message("Lunch at twelve?")).to_contain_text("Read")

    await an_app.composer.press("ArrowUp")
    await expect(an_app.composer).to_have_value("Lunch at twelve?")
    await an_app.send("Lunch at one?")
    await expect(binh_app.message("Lunch at one?")).to_contain_text("edited")

    await binh_app.choose_action("Lunch at one?", "Reply")
    await binh_app.send("With pleasure.")
    reply = an_app.message("With pleasure.")
    await expect(reply.locator(".quote")).to_contain_text("Lunch at one?")

    await an_app.choose_action("With pleasure.", "❤️")
    reaction = binh_app.message("With pleasure.").get_by_role("button", name="❤️ An")
    await expect(reaction).to_have_attribute("aria-pressed", "false")
    await reaction.click()
    await expect(an_app.message("With pleasure.").get_by_role("button", name="❤️ You and Bình")).to_contain_text("2")

    await an_app.choose_action("Lunch at one?", "Delete")
    await an_app.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(binh_app.messages.first).to_contain_text("Message deleted")
    await expect(reply.locator(".quote")).to_contain_text("Message deleted")


async def test_the_scroll_position_is_kept_when_messages_are_added(open_app: OpenApp, create_user: CreateUser) -> None:
    """Loading older messages does not move the content, nor do new ones, unless the reader is at the bottom."""
    total = 130
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    texts = [f"Number {number}" + ", and more of it" * (number % 30) for number in range(total)]
    for text in texts:
        binh.send_message(conversation, text)
    an.put(f"/conversations/{conversation}/read", seq=total)
    app = await open_app(an)
    await app.open_conversation("Bình")
    await expect(app.message(texts[-1])).to_be_in_viewport()

    loaded = await app.messages.count()
    assert loaded < total
    at_top = asyncio.Event()

    async def hold(route: Route) -> None:
        await at_top.wait()
        await route.continue_()

    await app.page.route("**/messages?before=*", hold)
    # At the very top, where the label of the day is in view: it is above the older messages afterwards.
    await app.messages.nth(2).evaluate("row => { row.closest('.messages').scrollTop = 0; window.anchor = row }")
    before = await app.page.evaluate("anchor.getBoundingClientRect().top")
    at_top.set()
    await expect(app.messages.nth(loaded)).to_be_attached()
    assert abs(await app.page.evaluate("anchor.getBoundingClientRect().top") - before) < 2

    binh.send_message(conversation, "Look below")
    new_message_button = app.page.get_by_role("button", name="1 new message")
    await expect(new_message_button).to_be_visible()
    assert abs(await app.page.evaluate("anchor.getBoundingClientRect().top") - before) < 2
    await expect(app.message("Look below")).not_to_be_in_viewport()
    await new_message_button.click()
    await expect(app.message("Look below")).to_be_in_viewport()
    await expect(app.page.locator(".scroll-to-bottom button")).to_have_count(0)

    binh.send_message(conversation, "At the bottom, the list follows")
    await expect(app.message("At the bottom, the list follows")).to_be_in_viewport()


async def test_a_conversation_opens_at_the_first_unread_message(open_app: OpenApp, create_user: CreateUser) -> None:
    """If the unread messages do not fit into the viewport, and though they are more than one page."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    an.send_message(conversation, "Read by both")
    app = await open_app(an)
    for number in range(60):
        binh.send_message(conversation, f"Unread {number}")
    await expect(app.page).to_have_title("(60) Loa")
    await app.open_conversation("Bình")
    await expect(app.page.locator(".unread-divider")).to_be_in_viewport()
    await expect(app.page.locator(".unread-divider")).to_have_text(re.compile(r"^New since \d\d:\d\d$"))
    await expect(app.message("Unread 0")).to_be_in_viewport()
    await expect(app.message("Unread 59")).not_to_be_in_viewport()
    await expect(app.page).to_have_title("(60) Loa")


async def test_a_conversation_can_be_used_though_earlier_unread_messages_cannot_be_loaded(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    """The error is shown, the latest messages are read, and scrolling up loads the others."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    for number in range(60):
        binh.send_message(conversation, f"Unread {number}")
    app = await open_app(an)
    failure = {"code": "internal_error"}
    await app.page.route("**/messages?before=11&*", lambda route: route.fulfill(status=500, json=failure), times=1)
    await app.open_conversation("Bình")
    await expect(app.toasts.last).to_be_visible()
    await expect(app.page).to_have_title("Loa")
    await app.page.locator(".messages").evaluate("element => { element.scrollTop = 0 }")
    await expect(app.message("Unread 0")).to_be_attached()
    assert [True] == ["status of 500" in error for error in app.errors]
    app.errors.clear()


async def test_a_group_shows_who_has_read_a_message(open_app: OpenApp, create_user: CreateUser) -> None:
    """The number opens the names, and those who read it meanwhile are added; so does the menu, by the keyboard."""
    an, binh, chi = create_user("An"), create_user("Bình"), create_user("Chi")
    conversation = an.create_conversation(binh, chi, title="Lunch")
    an.send_message(conversation, "Noon?")
    binh.put(f"/conversations/{conversation}/read", seq=2)
    app = await open_app(an, locale="en-GB", color_scheme="dark")
    await app.open_conversation("Lunch")
    await app.message("Noon?").get_by_role("button", name="Read by 1").click()
    dialog = app.page.get_by_role("dialog", name="Read by…")
    await expect(dialog.get_by_role("listitem")).to_have_text(["BBình"])
    chi.put(f"/conversations/{conversation}/read", seq=2)
    await expect(dialog.get_by_role("listitem")).to_have_text(["BBình", "CChi"])
    await expect(dialog.locator(".hint")).to_have_text("Read by 2")
    assert [] == await serious_violations(app.page)
    await app.page.keyboard.press("Escape")
    await app.message("Noon?").focus()
    await app.page.keyboard.press("Enter")
    await app.page.get_by_role("menuitem", name="Read by…").press("Enter")
    await expect(dialog).to_be_visible()


async def test_a_quote_leads_to_the_original_message(open_app: OpenApp, create_user: CreateUser) -> None:
    """It is shown with those around it."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    original = an.send_message(conversation, "Long ago")
    for number in range(101):
        binh.send_message(conversation, f"Since then {number}")
    an.send_message(conversation, "Remember?", reply_to=original["id"])
    app = await open_app(an)
    await app.open_conversation("Bình")
    await app.message("Remember?").locator(".quote").click()
    await expect(app.message("Long ago")).to_be_in_viewport()
    await expect(app.message("Long ago")).to_be_focused()


async def test_a_large_group_shows_every_name(open_app: OpenApp, create_user: CreateUser) -> None:
    """Members whose profiles the conversation does not contain included: in the list, at messages, in the details."""
    with ThreadPoolExecutor(4) as executor:
        names = ["An", "Yến", *[f"Member {number}" for number in range(108)]]
        an, last, *members = executor.map(create_user, names)
    conversation = an.create_conversation(*members, last, title="Crowd")
    last.send_message(conversation, "I am the last")
    app = await open_app(an)
    await expect(app.conversation_row("Crowd")).to_contain_text("Yến: I am the last")
    await app.open_conversation("Crowd")
    await expect(app.message("I am the last").locator(".sender")).to_have_text("Yến")
    await expect(app.message("I am the last").locator(".sender")).to_have_attribute("href", f"#/users/{last.id}")
    await app.choose_action("I am the last", "Read by…")
    dialog = app.page.get_by_role("dialog")
    await expect(dialog.locator(".hint")).to_contain_text("100 of 110 people are checked.")
    await dialog.get_by_role("button", name="Load more").click()
    await expect(dialog.locator(".hint")).to_have_text("Read by 1")
    await app.page.keyboard.press("Escape")
    await app.page.get_by_role("button", name="Details").click()
    people = dialog.get_by_role("listitem")
    await expect(people).to_have_count(100)
    await people.last.scroll_into_view_if_needed()
    await expect(people).to_have_count(len(names))
    await people.last.scroll_into_view_if_needed()
    await expect(people.nth(26)).to_contain_text("Member 25")
    await expect(people.last).to_contain_text("Yến")
    await expect(people.filter(has_text="Someone")).to_have_count(0)


async def test_an_invitation_is_copied_and_accepted(open_app: OpenApp, create_user: CreateUser) -> None:
    """It opens the group; once it has ended, the page says so."""
    an, binh, chi = create_user("An"), create_user("Bình"), create_user("Chi")
    an.create_conversation(binh, title="Lunch")
    owner, other = await open_app(an), await open_app(chi)
    await owner.open_conversation("Lunch")
    await owner.page.get_by_role("button", name="Details").click()
    await owner.page.get_by_role("button", name="Invite by link").click()
    link = await owner.page.get_by_label("Link", exact=True).input_value()
    await owner.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await owner.page.get_by_role("button", name="Copy link").click()
    await expect(owner.toasts).to_have_text("Link copied.")
    await other.page.goto(link)
    await expect(other.page.get_by_text("Invitation from An")).to_be_visible()
    await other.page.get_by_role("button", name="Join").click()
    await expect(other.page.get_by_role("heading", name="Lunch")).to_be_visible()
    await expect(other.page).to_have_url(re.compile("#/c/"))
    await owner.page.get_by_role("button", name="End all invitations").click()
    await owner.page.get_by_role("dialog").last.get_by_role("button", name="End all invitations").click()
    await expect(owner.toasts.last).to_have_text("All invitations have ended.")
    await other.page.goto(link)
    await expect(other.page.get_by_role("alert")).to_contain_text("no longer exists, or it has expired")


async def test_roles_of_a_group(open_app: OpenApp, create_user: CreateUser) -> None:
    """The owner makes an admin, who then can rename the group and add people, and hands the group over."""
    an, binh, chi = create_user("An"), create_user("Bình"), create_user("Chi")
    an.create_conversation(binh, chi, title="Lunch")
    owner, other = await open_app(an), await open_app(binh)
    for app in (owner, other):
        await app.open_conversation("Lunch")
        await app.page.get_by_role("button", name="Details").click()
    people = other.page.get_by_role("dialog").get_by_role("listitem")
    await expect(people).to_have_count(3)
    await expect(other.page.get_by_role("button", name="Options for Chi")).to_have_count(0)
    await expect(other.page.get_by_role("button", name="Add people")).to_have_count(0)
    await expect(other.page.get_by_role("button", name="Rename")).to_have_count(0)
    await owner.page.get_by_role("button", name="Options for Bình").click()
    await owner.page.get_by_role("menuitem", name="Make admin").click()
    await expect(people.filter(has_text="Bình")).to_contain_text("Admin")
    await expect(other.page.get_by_role("button", name="Add people")).to_be_visible()
    await other.page.get_by_label("Group name").fill("Dinner")
    await other.page.get_by_role("button", name="Rename").click()
    await expect(owner.page.get_by_role("heading", name="Dinner").first).to_be_visible()
    await expect(other.page.get_by_role("button", name="Options for An")).to_have_count(0)
    await owner.page.get_by_role("button", name="Options for Bình").click()
    await owner.page.get_by_role("menuitem", name="Make owner").click()
    await owner.page.get_by_role("dialog").last.get_by_role("button", name="Make owner").click()
    await expect(people.filter(has_text="Bình")).to_contain_text("Owner")
    await other.page.get_by_role("button", name="Options for An").click()
    await other.page.get_by_role("menuitem", name="Remove An").click()
    await other.page.get_by_role("dialog").last.get_by_role("button", name="Remove", exact=True).click()
    await expect(owner.page.get_by_text("Choose a chat")).to_be_visible()


async def test_a_group_can_be_renamed_and_left(open_app: OpenApp, create_user: CreateUser) -> None:
    """Its owner can remove others; a user who was removed, or has left, no longer sees it."""
    an, binh, chi = create_user("An"), create_user("Bình"), create_user("Chi")
    conversation = an.create_conversation(binh, chi, title="Lunch")
    owner, member = await open_app(an), await open_app(binh)
    await owner.open_conversation("Lunch")
    await member.open_conversation("Lunch")
    chi.send_message(conversation, "I am hungry")
    await expect(owner.message("I am hungry").locator(".sender")).to_have_text("Chi")
    await owner.page.get_by_role("button", name="Details").click()
    await owner.page.get_by_label("Group name").fill("Dinner")
    await owner.page.get_by_role("button", name="Rename").click()
    await expect(member.page.get_by_role("heading", name="Dinner")).to_be_visible()
    await owner.page.get_by_role("button", name="Options for Bình").click()
    await owner.page.get_by_role("menuitem", name="Remove Bình").click()
    question = owner.page.get_by_role("dialog", name="Remove Bình from this group?")
    await question.get_by_role("button", name="Remove", exact=True).click()
    await expect(member.page.get_by_text("Choose a chat")).to_be_visible()
    await expect(member.toasts).to_have_text("You are no longer in “Dinner”.")
    await expect(member.conversation_row("Dinner")).to_have_count(0)
    await owner.page.get_by_role("dialog").get_by_role("button", name="Leave group").click()
    await owner.page.get_by_role("dialog").last.get_by_role("button", name="Leave group").click()
    await expect(owner.page.get_by_text("No chats yet")).to_be_visible()
    await expect(owner.page).to_have_url(re.compile("#/$"))
    # They know that they have left.
    await expect(owner.toasts.filter(has_text="no longer")).to_have_count(0)
