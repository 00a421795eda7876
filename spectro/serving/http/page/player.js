// One audio element for the whole page: one sound plays at a time, and whoever shows it is told where it is.

export class Player {
  constructor() {
    this.audio = new Audio();
    this.audio.preload = "metadata";
    this.listeners = new Set();
    this.error = "";
    for (const name of ["play", "pause", "seeked", "ended", "loadedmetadata", "timeupdate"]) {
      this.audio.addEventListener(name, () => this.tell());
    }
    this.audio.addEventListener("error", () => {
      if (!this.audio.src) return;
      this.error = "This browser cannot play the file; the answer is not affected by that.";
      this.tell();
    });
  }

  get time() {
    return this.wanted ?? this.audio.currentTime;
  }

  get playing() {
    return !this.audio.paused;
  }

  /** Change the sound; nothing is fetched again where it is the same. */
  open(address, playable) {
    if (this.address === address) return;
    this.address = address;
    this.audio.pause();
    this.error = playable ? "" : "Browsers cannot play this format; the answer is not affected by that.";
    this.wanted = 0;
    if (address && playable) this.audio.src = address;
    else this.audio.removeAttribute("src");
    this.tell();
  }

  seek(time) {
    this.wanted = Math.max(0, time);
    if (this.audio.readyState) {
      this.audio.currentTime = this.wanted;
      this.wanted = undefined;
    }
    this.tell();
  }

  async playFrom(time) {
    this.seek(time);
    await this.play();
  }

  async play() {
    if (this.error || !this.audio.src) return;
    try {
      await this.audio.play();
      if (this.wanted !== undefined) this.seek(this.wanted);
      this.frame();
    } catch (error) {
      if (error.name !== "AbortError") this.audio.dispatchEvent(new Event("error"));
    }
  }

  toggle() {
    return this.playing ? this.audio.pause() : this.play();
  }

  frame() {
    this.tell();
    if (this.playing) requestAnimationFrame(() => this.frame());
  }

  tell() {
    for (const listener of this.listeners) listener(this.time, this.playing, this.error);
  }

  onMove(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
