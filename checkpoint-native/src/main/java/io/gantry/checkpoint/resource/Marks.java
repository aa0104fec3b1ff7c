package io.gantry.checkpoint.resource;

import java.util.HashMap;
import java.util.Map;

/** Lines of fdinfo that inotify and fanotify have for each of their marks ({@code fs/notify/fdinfo.c}). */
final class Marks {
  private Marks() {}

  /** The words of a line, {@code key:value}; all numbers in base 16. {@code first} is the key of the first. */
  static Map<String, String> words(String first, String rest) {
    var words = new HashMap<String, String>();
    for (var word : (first + ":" + rest).split("\\s+")) {
      int colon = word.indexOf(':');
      if (colon > 0) {
        words.put(word.substring(0, colon), word.substring(colon + 1));
      }
    }
    return words;
  }

  static int number(Map<String, String> words, String key) {
    return Integer.parseUnsignedInt(words.get(key), 16);
  }

  /** Why the file of a mark cannot be found. */
  static String lost(String what, Map<String, String> words) {
    int device = number(words, "sdev");
    return "it watches inode %d of device %d:%d (%s), which no path of the container leads to any more; let the program stop watching it"
        .formatted(Long.parseUnsignedLong(words.get("ino"), 16), device >>> 20, device & 0xfffff, what);
  }
}
