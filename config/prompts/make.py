#!/usr/bin/env python3
"""Makes the hold music and the spoken prompts of this folder.

Needs espeak-ng and sox (Debian packages of these names) and nothing else. Run it anywhere; it writes beside itself:

    python3 config/prompts/make.py

The music is computed here from sine partials: two chords a bar over a bass, a slow melody of plucked notes, 24 s that begin
where they end, so that the loop has no seam.
"""

import array
import math
import pathlib
import subprocess
import wave

HERE = pathlib.Path(__file__).parent
RATE = 8000
BEAT_S = 0.75
BARS = 8
BEATS = 4
LENGTH = int(RATE * BEAT_S * BEATS * BARS)

# Names follow the Debian package asterisk-core-sounds-en-wav, so that its real voice takes over where it is installed.
SPOKEN = {
    "reception-menu": "Thank you for calling. For sales, press one. For support, press two.",
    "invalid": "I am sorry, that is not a valid choice.",
    "queue-thereare": "You are now caller number",
    "queue-callswaiting": "waiting to speak with a representative.",
    "vm-nobodyavail": "Nobody is available to take your call right now.",
    "please-try-call-later": "Please try your call again later.",
    "tt-allbusy": "All of our representatives are busy.",
} | {f"digits/{n}": str(n) for n in range(10)}


def frequency(note):
    """Hertz of a MIDI note number."""
    return 440.0 * 2 ** ((note - 69) / 12)


def add_note(mix, start, length_s, note, level, partials, attack_s, decay_s):
    """Adds one note; what rings beyond the end continues at the beginning."""
    count = int(length_s * RATE)
    for at in range(count):
        t = at / RATE
        envelope = min(1.0, t / attack_s) * math.exp(-t / decay_s) * min(1.0, (length_s - t) / 0.05)
        value = sum(a * math.sin(2 * math.pi * frequency(note) * k * t) for k, a in partials)
        mix[(start + at) % LENGTH] += level * envelope * value


def music():
    """Eight bars of F major 7, D minor 7, G minor 7, C 7, twice, the second time with another melody."""
    mix = [0.0] * LENGTH
    beat = int(BEAT_S * RATE)
    chords = [(53, 57, 60, 64), (50, 57, 60, 65), (55, 58, 62, 65), (48, 58, 60, 64)] * 2
    melody = [
        (72, 69, 76, None), (74, None, 72, 69), (70, 74, 77, None), (76, 74, 72, 70),
        (69, 72, 77, 76), (77, None, 74, 72), (74, 70, 67, None), (70, 72, 67, None),
    ]
    soft = [(1, 1.0), (2, 0.25), (3, 0.08)]
    pluck = [(1, 1.0), (2, 0.45), (3, 0.2), (4, 0.08)]
    for bar in range(BARS):
        start = bar * BEATS * beat
        for half in range(2):
            for note in chords[bar][1:]:
                add_note(mix, start + half * 2 * beat, 2.2, note, 0.10, soft, 0.12, 1.4)
            add_note(mix, start + half * 2 * beat, 1.6, chords[bar][0], 0.16, soft, 0.03, 0.9)
        for step, note in enumerate(melody[bar]):
            if note is not None:
                add_note(mix, start + step * beat, 1.8, note, 0.20, pluck, 0.008, 0.55)
    peak = max(abs(value) for value in mix)
    # -10 dBFS at the peak: a little below the voices, and well away from the clipping of G.711.
    samples = array.array("h", (int(32767 * 0.316 * value / peak) for value in mix))
    with wave.open(str(HERE / "music.wav"), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples.tobytes())


def speak(name, words):
    """One prompt: telephone band, silence cut off at both ends, -3 dB at the peak, 50 ms of air around it."""
    target = HERE / f"{name}.wav"
    target.parent.mkdir(exist_ok=True)
    raw = subprocess.run(["espeak-ng", "-v", "en-us+f3", "-s", "150", "--stdout", words], check=True, capture_output=True)
    trim = ["silence", "1", "0.01", "0.5%"]
    effects = ["highpass", "150", "rate", "-v", str(RATE), *trim, "reverse", *trim, "reverse", "pad", "0.05", "0.05"]
    command = ["sox", "-R", "-t", "wav", "-", "-b", "16", "-c", "1", str(target), *effects, "gain", "-n", "-3"]
    subprocess.run(command, input=raw.stdout, check=True)


if __name__ == "__main__":
    music()
    for each, text in SPOKEN.items():
        speak(each, text)
