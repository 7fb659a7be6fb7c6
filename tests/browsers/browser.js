/**
 * Drives a real browser for the test: reads one command a line, `[name, ...arguments]`, and answers each with a line,
 * `{"result": …}` or `{"error": "…"}`. The argument says which browser. It is closed at the end of the input.
 */

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import puppeteer from "puppeteer-core";
import { Builder, By, Capabilities } from "selenium-webdriver";

const SIZE = { width: 1280, height: 800 };
/** The texts of the visible elements. Runs in the page. */
const TEXTS = (selector) =>
  [...document.querySelectorAll(selector)].filter((each) => each.checkVisibility()).map((each) => each.innerText);

/** Chromium by its own protocol, and Firefox by WebDriver BiDi. */
class PuppeteerBrowser {
  #browser;
  #page;

  async start(name, { program }) {
    this.#browser = await puppeteer.launch({
      browser: name === "firefox" ? "firefox" : "chrome",
      executablePath: program,
      headless: true,
      defaultViewport: SIZE,
      args: name === "firefox" ? [] : ["--no-sandbox"],
    });
    this.#page = await this.#browser.newPage();
  }

  open = (url) => this.#page.goto(url);
  type = (selector, text) => this.#page.type(selector, text);
  click = (selector) => this.#page.click(selector);
  texts = (selector) => this.#page.evaluate(TEXTS, selector);
  close = () => this.#browser?.close();
}

/** WebKitGTK by WebDriver. */
class WebKitBrowser {
  #service;
  #driver;

  async start(_, { program, port, display }) {
    const environment = { ...process.env, DISPLAY: display };
    this.#service = spawn("WebKitWebDriver", [`--port=${port}`], { env: environment, stdio: "ignore" });
    const capabilities = new Capabilities()
      .setBrowserName("MiniBrowser")
      .set("webkitgtk:browserOptions", { binary: program, args: ["--automation"] });
    const builder = new Builder().usingServer(`http://127.0.0.1:${port}`).withCapabilities(capabilities);
    this.#driver = await insist(() => builder.build());
    await this.#driver.manage().window().setRect(SIZE);
  }

  open = (url) => this.#driver.get(url);
  type = (selector, text) => this.#driver.findElement(By.css(selector)).sendKeys(text);
  click = (selector) => this.#driver.findElement(By.css(selector)).click();
  texts = (selector) => this.#driver.executeScript(`return (${TEXTS})(arguments[0])`, selector);

  async close() {
    await this.#driver?.quit();
    this.#service?.kill();
  }
}

/** Repeat until it succeeds: the driver has just been started. */
async function insist(attempt, attempts = 100) {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!String(error).includes("ECONNREFUSED") || --attempts === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

const [name] = process.argv.slice(2);
const browser = name === "webkit" ? new WebKitBrowser() : new PuppeteerBrowser();
for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...values] = JSON.parse(line);
  try {
    const result = await (command === "start" ? browser.start(name, ...values) : browser[command](...values));
    answer({ result: command === "texts" ? result : null });
  } catch (error) {
    answer({ error: `${command}: ${error}` });
  }
}

await browser.close();

function answer(value) {
  process.stdout.write(JSON.stringify(value) + "\n");
}
