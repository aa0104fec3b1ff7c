package io.gantry.checkpoint.memory;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class PageSetTest {
  private static final int PAGES = 2000;
  private static final long BASE = 0x7f0000123000L;

  @Test
  void behavesLikeASetOfBits() {
    var random = new Random(1);
    var set = new PageSet();
    var bits = new BitSet(PAGES);
    for (int step = 0; step < 3000; step++) {
      int from = random.nextInt(PAGES);
      int to = from + 1 + random.nextInt(random.nextInt(8) == 0 ? PAGES - from : Math.min(20, PAGES - from));
      switch (random.nextInt(4)) {
        case 0, 1 -> {
          set.add(address(from), address(to));
          bits.set(from, to);
        }
        case 2 -> {
          var removed = new ArrayList<String>();
          set.remove(address(from), address(to), (start, end) -> removed.add(start + "-" + end));
          assertThat(removed).isEqualTo(runs(bits, from, to, true));
          bits.clear(from, to);
        }
        default -> {
          var found = new ArrayList<String>();
          set.intersect(address(from), address(to), (start, end) -> found.add(start + "-" + end));
          assertThat(found).isEqualTo(runs(bits, from, to, true));
          found.clear();
          set.missing(address(from), address(to), (start, end) -> found.add(start + "-" + end));
          assertThat(found).isEqualTo(runs(bits, from, to, false));
        }
      }
      assertThat(set.contains(address(from))).isEqualTo(bits.get(from));
      assertThat(set.pages()).isEqualTo(bits.cardinality());
      assertThat(set.isEmpty()).isEqualTo(bits.isEmpty());
    }
    assertThat(set.copy().pages()).isEqualTo(bits.cardinality());
  }

  private static long address(int page) {
    return BASE + page * 4096L;
  }

  private static List<String> runs(BitSet bits, int from, int to, boolean set) {
    var runs = new ArrayList<String>();
    for (int page = from; page < to; ) {
      int end = page;
      while (end < to && bits.get(end) == set) {
        end++;
      }
      if (end > page) {
        runs.add(address(page) + "-" + address(end));
      }
      page = Math.max(end, page + 1);
    }
    return runs;
  }
}
