package io.gantry.checkpoint.image;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** Where the content of every page of a space lies that has any. What is put later hides what was there. One thread. */
final class PageMap {
  private static final long PAGE = PagesFile.PAGE_BYTES;

  private final TreeMap<Long, Run> runs = new TreeMap<>();

  /**
   * Consecutive pages.
   *
   * @param file where their content is, from the byte {@code position} on; empty for pages of zeros
   */
  record Run(long start, long end, Optional<PagesFile> file, long position) {
    Run within(long from, long to) {
      return new Run(from, to, file, position + (from - start));
    }

    private boolean continues(Run before) {
      return before.end == start
          && before.file.equals(file)
          && (file.isEmpty() || before.position + (before.end - before.start) == position);
    }
  }

  /** First address and the one behind the last. */
  record Range(long start, long end) {}

  PageMap copy() {
    var copy = new PageMap();
    copy.runs.putAll(runs);
    return copy;
  }

  void put(Run run) {
    remove(run.start, run.end);
    var before = runs.floorEntry(run.start);
    var whole = run;
    if (before != null && run.continues(before.getValue())) {
      whole = new Run(before.getValue().start, run.end, run.file, before.getValue().position);
    }
    runs.put(whole.start, whole);
  }

  void remove(long start, long end) {
    if (start >= end) {
      return;
    }
    var before = runs.lowerEntry(start);
    if (before != null && before.getValue().end > start) {
      var run = before.getValue();
      runs.put(run.start, run.within(run.start, start));
      if (run.end > end) {
        runs.put(end, run.within(end, run.end));
        return;
      }
    }
    for (Map.Entry<Long, Run> entry = runs.ceilingEntry(start); entry != null && entry.getKey() < end; entry = runs.ceilingEntry(start)) {
      var run = entry.getValue();
      runs.remove(run.start);
      if (run.end > end) {
        runs.put(end, run.within(end, run.end));
      }
    }
  }

  /** Forgets what is in none of these ranges, which ascend. */
  void keepOnly(List<Range> ranges) {
    long from = 0;
    for (Range range : ranges) {
      remove(from, range.start);
      from = range.end;
    }
    remove(from, Long.MAX_VALUE & -PAGE);
  }

  /** Ascending. */
  List<Run> runs() {
    return new ArrayList<>(runs.values());
  }
}
