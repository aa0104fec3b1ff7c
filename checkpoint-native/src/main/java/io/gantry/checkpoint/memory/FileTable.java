package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.image.mapped_file;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Numbers for the files that processes have mapped or run; a number stays with its path for the whole capture. One thread. */
final class FileTable {
  /** Above all numbers that the descriptors' files get, so that both can be in one image. */
  private static final int FIRST = 1 << 24;

  private final Map<String, Integer> numbers = new LinkedHashMap<>();

  int numberOf(String path) {
    return numbers.computeIfAbsent(path, name -> FIRST + numbers.size());
  }

  /** All files so far. */
  List<mapped_file> entries() {
    var entries = new ArrayList<mapped_file>(numbers.size());
    numbers.forEach((path, number) -> entries.add(mapped_file.newBuilder().setId(number).setName(path).build()));
    return entries;
  }
}
