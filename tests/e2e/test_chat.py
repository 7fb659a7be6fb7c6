"""Two people talking."""

import re

from playwright.async_api import expect

from tests.e2e.conftest import Enter, Register


async def test_finds_someone_and_says_hello(enter: Enter, register: Register) -> None:
    """From nothing to a conversation, without either reloading the page."""
    an, binh = await enter(register("An Search")), await enter(register("Zbinh Found"))
    await an.page.get_by_role("button", name="New chat").click()
    await an.page.get_by_role("searchbox", name="Search people").fill("zbinh")
    await an.page.get_by_role("checkbox").check()
    await an.page.get_by_role("button", name="Start chat").click()
    await an.write("Hello!")
    await expect(binh.conversation("An Search")).to_contain_text("Hello!")
    await expect(binh.page).to_have_title("(1) Loa")
    await binh.open("An Search")
    await expect(binh.message("Hello!")).to_be_visible()
    await expect(binh.page).to_have_title("Loa")


async def test_shows_a_message_as_sent_and_then_as_read(enter: Enter, register: Register) -> None:
    """What one writes is there at once; what becomes of it is shown at it."""
    an, binh = register("An"), register("Bình")
    an.converse(binh)
    here, there = await enter(an), await enter(binh)
    await here.open("Bình")
    await here.write("Are you there?")
    await expect(here.message("Are you there?")).to_contain_text("Sent")
    await expect(there.conversation("An")).to_contain_text("1 unread")
    await there.open("An")
    await expect(here.message("Are you there?")).to_contain_text("Read")


async def test_shows_who_is_typing_and_who_is_there(enter: Enter, register: Register) -> None:
    """And no longer once they have sent it, or have gone."""
    an, binh = register("An"), register("Bình")
    an.converse(binh)
    here, there = await enter(an), await enter(binh)
    await here.open("Bình")
    await there.open("An")
    await expect(here.page.locator(".pane .presence")).to_have_text("Online")
    await there.composer.press_sequentially("Hm")
    await expect(here.page.locator(".typing-indicator")).to_have_text("Bình is typing…")
    await there.composer.press("Enter")
    await expect(here.message("Hm")).to_be_visible()
    await expect(here.page.locator(".typing-indicator")).to_have_text("")
    await there.page.context.close()
    await expect(here.page.locator(".pane .presence")).to_contain_text("Last seen")


async def test_edits_answers_reacts_and_deletes(enter: Enter, register: Register) -> None:
    """Each is seen on the other side."""
    an, binh = register("An"), register("Bình")
    an.converse(binh)
    here, there = await enter(an), await enter(binh)
    await here.open("Bình")
    await there.open("An")
    await here.write("Lunch at twelve?")
    await expect(here.message("Lunch at twelve?")).to_contain_text("Read")

    await here.composer.press("ArrowUp")
    await expect(here.composer).to_have_value("Lunch at twelve?")
    await here.write("Lunch at one?")
    await expect(there.message("Lunch at one?")).to_contain_text("edited")

    await there.choose("Lunch at one?", "Reply")
    await there.write("With pleasure.")
    answer = here.message("With pleasure.")
    await expect(answer.locator(".quote")).to_contain_text("Lunch at one?")

    await here.choose("With pleasure.", "❤️")
    reaction = there.message("With pleasure.").get_by_role("button", name="❤️ An")
    await expect(reaction).to_have_attribute("aria-pressed", "false")
    await reaction.click()
    await expect(here.message("With pleasure.").get_by_role("button", name="❤️ You and Bình")).to_contain_text("2")

    await here.choose("Lunch at one?", "Delete")
    await here.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(there.messages.first).to_contain_text("Message deleted")
    await expect(answer.locator(".quote")).to_contain_text("Message deleted")


async def test_keeps_a_readers_place(enter: Enter, register: Register) -> None:
    """Older messages load above without a jump; new ones below do not pull down who has scrolled up."""
    an, binh = register("An"), register("Bình")
    conversation = an.converse(binh)
    for number in range(180):
        binh.say(conversation, f"Number {number}" + ", and more of it" * (number % 30))
    here = await enter(an)
    await here.open("Bình")
    # All are new and more than the window holds: one begins where they do, as far as they were loaded.
    await expect(here.page.get_by_role("list", name="Messages")).to_be_visible()
    box = here.page.locator(".messages")
    await box.evaluate("box => { box.scrollTop = box.scrollHeight }")
    await expect(here.message("Number 179" + ", and more of it" * (179 % 30))).to_be_in_viewport()

    loaded = await here.messages.count()
    assert loaded < 180
    mark = here.messages.nth(2)
    await mark.evaluate("(row) => { row.scrollIntoView({block: 'start'}); window.mark = row }")
    before = await here.page.evaluate("mark.getBoundingClientRect().top")
    await expect(here.messages.nth(loaded)).to_be_attached()
    assert abs(await here.page.evaluate("mark.getBoundingClientRect().top") - before) < 2

    binh.say(conversation, "Look below")
    pill = here.page.get_by_role("button", name="1 new message")
    await expect(pill).to_be_visible()
    assert abs(await here.page.evaluate("mark.getBoundingClientRect().top") - before) < 2
    await expect(here.message("Look below")).not_to_be_in_viewport()
    await pill.click()
    await expect(here.message("Look below")).to_be_in_viewport()
    await expect(here.page.locator(".scroll-to-bottom button")).to_have_count(0)

    binh.say(conversation, "Now it follows")
    await expect(here.message("Now it follows")).to_be_in_viewport()


async def test_begins_at_what_is_new(enter: Enter, register: Register) -> None:
    """Where more is new than the window holds, reading begins at its mark and not at the end."""
    an, binh = register("An"), register("Bình")
    conversation = an.converse(binh)
    an.say(conversation, "The last that I know")
    for number in range(30):
        binh.say(conversation, f"News {number}")
    here = await enter(an)
    await here.open("Bình")
    await expect(here.page.locator(".unread-divider")).to_be_in_viewport()
    await expect(here.message("News 0")).to_be_in_viewport()
    await expect(here.message("News 29")).not_to_be_in_viewport()


async def test_goes_to_the_message_that_is_answered(enter: Enter, register: Register) -> None:
    """However far back it is."""
    an, binh = register("An"), register("Bình")
    conversation = an.converse(binh)
    first = an.say(conversation, "Long ago")
    for number in range(120):
        binh.say(conversation, f"Since then {number}")
    an.say(conversation, "Remember?", reply_to=first["id"])
    here = await enter(an)
    await here.open("Bình")
    await here.message("Remember?").locator(".quote").click()
    await expect(here.message("Long ago")).to_be_in_viewport()
    await expect(here.message("Long ago")).to_be_focused()


async def test_keeps_a_draft_in_each_conversation(enter: Enter, register: Register) -> None:
    """What was begun here is not sent there."""
    an, binh, chi = register("An"), register("Bình"), register("Chi")
    an.converse(binh)
    an.converse(chi)
    here = await enter(an)
    await here.open("Bình")
    await here.composer.fill("For Bình only")
    await here.open("Chi")
    await expect(here.composer).to_have_value("")
    await here.open("Bình")
    await expect(here.composer).to_have_value("For Bình only")


async def test_a_draft_is_its_authors_alone(enter: Enter, register: Register) -> None:
    """Whoever signs in after them in the same tab finds nothing of it."""
    an, binh = register("An"), register("Bình")
    an.converse(binh)
    here = await enter(an)
    await here.open("Bình")
    await here.composer.fill("Not for your eyes")
    await here.page.get_by_role("button", name="You").click()
    await here.page.get_by_role("button", name="Sign out", exact=True).click()
    await here.sign_in(binh)
    await here.open("An")
    await expect(here.composer).to_have_value("")


async def test_a_large_group_has_names_for_all(enter: Enter, register: Register) -> None:
    """Also for those whose profiles did not come with it."""
    an, last = register("An"), register("Yến")
    conversation = an.converse(*[register(f"Member {number}") for number in range(20)], last, title="Crowd")
    last.say(conversation, "I am the last")
    here = await enter(an)
    await here.open("Crowd")
    await expect(here.message("I am the last").locator(".sender")).to_have_text("Yến")


async def test_a_group_has_names_a_title_and_an_end(enter: Enter, register: Register) -> None:
    """Whoever is in it sees who speaks; whoever leaves, or is taken out, sees it no longer."""
    an, binh, chi = register("An"), register("Bình"), register("Chi")
    conversation = an.converse(binh, chi, title="Lunch")
    here, there = await enter(an), await enter(binh)
    await here.open("Lunch")
    await there.open("Lunch")
    chi.say(conversation, "I am hungry")
    await expect(here.message("I am hungry").locator(".sender")).to_have_text("Chi")
    await here.page.get_by_role("button", name="Details").click()
    await here.page.get_by_label("Name of the group").fill("Dinner")
    await here.page.get_by_role("button", name="Rename").click()
    await expect(there.page.get_by_role("heading", name="Dinner")).to_be_visible()
    await here.page.get_by_role("button", name="Remove Bình").click()
    await expect(there.page.get_by_text("Choose a chat")).to_be_visible()
    await expect(there.conversation("Dinner")).to_have_count(0)
    await here.page.get_by_role("dialog").get_by_role("button", name="Leave group").click()
    await here.page.get_by_role("dialog").last.get_by_role("button", name="Leave group").click()
    await expect(here.page.get_by_text("No chats yet")).to_be_visible()
    await expect(here.page).to_have_url(re.compile("#/$"))
