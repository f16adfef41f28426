// Browsers start no workers in pages opened from file://, which the search is one of. There a frame takes its place.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.title = "search";
      document.body.append(this.frame);
      const inner = this.frame.contentWindow;
      inner.document.open();
      inner.document.write("<!doctype html><html lang=en><title>search</title><body></body></html>");
      inner.document.close();
      inner.postMessage = (data) => this.heard(data);
      this.ready = new Promise((resolve, reject) => {
        const script = inner.document.createElement("script");
        script.onload = resolve;
        script.onerror = () => { this.failed(); reject(); };
        script.src = new URL(address, location);
        inner.document.body.append(script);
      });
    }

    heard(data) {
      const event = new MessageEvent("message", { data: structuredClone(data) });
      this.dispatchEvent(event);
      this.onmessage?.(event);
    }

    failed() {
      const event = new ErrorEvent("error", { cancelable: true });
      this.dispatchEvent(event);
      this.onerror?.(event);
    }

    postMessage(data) {
      const copy = structuredClone(data);
      this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data: copy })), () => {});
    }

    terminate() {
      this.frame.remove();
    }
  };
}
