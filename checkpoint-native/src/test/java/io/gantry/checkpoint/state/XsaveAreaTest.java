package io.gantry.checkpoint.state;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class XsaveAreaTest {
  /** Sizes of the area with AVX-512, without and with protection keys, and where the opmask registers are: AMD's layout and Intel's. */
  @ParameterizedTest
  @CsvSource({"2432, 832", "2440, 832", "2688, 1088", "2696, 1088"})
  void criusFieldsSayWhatTheAreaHolds(int bytes, int behindAvx) {
    byte[] area = new byte[bytes];
    var random = new Random(bytes);
    fill(area, random, 0, 416);
    fill(area, random, 512, 520);
    fill(area, random, 576, 832);
    fill(area, random, behindAvx, bytes);
    var entry = XsaveArea.expanded(XsaveArea.toEntry(area).build());
    assertThat(entry.getXsave().getHi16ZmmCount()).isEqualTo(128);
    assertThat(XsaveArea.fromEntry(entry.toBuilder().clearXsaveArea().build(), bytes)).isEqualTo(area);
  }

  private static void fill(byte[] area, Random random, int from, int to) {
    byte[] some = new byte[to - from];
    random.nextBytes(some);
    System.arraycopy(some, 0, area, from, some.length);
    assertThat(Arrays.equals(some, new byte[some.length])).isFalse();
  }
}
