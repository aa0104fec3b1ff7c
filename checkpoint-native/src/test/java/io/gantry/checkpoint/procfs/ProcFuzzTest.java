package io.gantry.checkpoint.procfs;

import static org.assertj.core.api.Assertions.fail;

import io.gantry.checkpoint.CheckpointException;
import java.util.Random;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Whatever a kernel writes into its files: an answer or a sentence. */
@Timeout(120)
class ProcFuzzTest {
  private static final long SEED = 20261126;
  private static final int ROUNDS = 20_000;

  private static String read(String file) throws Exception {
    return ProcText.read("/proc/" + ProcessHandle.current().pid() + "/" + file);
  }

  private static String damaged(String good, Random random) {
    var text = new StringBuilder(good);
    for (int i = random.nextInt(4); i >= 0 && text.length() > 1; i--) {
      int at = random.nextInt(text.length());
      switch (random.nextInt(4)) {
        case 0 -> text.setLength(at);
        case 1 -> text.setCharAt(at, (char) (random.nextBoolean() ? random.nextInt(128) : " \n\t:/.()-0f".charAt(random.nextInt(11))));
        case 2 -> text.insert(at, "99999999999999999999");
        default -> text.delete(at, Math.min(text.length(), at + 1 + random.nextInt(12)));
      }
    }
    return text.toString();
  }

  private static void fuzz(String good, Consumer<String> reader) {
    reader.accept(good);
    var random = new Random(SEED);
    for (int round = 0; round < ROUNDS; round++) {
      String text = damaged(good, random);
      try {
        reader.accept(text);
      } catch (CheckpointException sentence) {
        // As it should be.
      } catch (RuntimeException | Error other) {
        fail("round " + round + " of seed " + SEED + ": " + text, other);
      }
    }
  }

  @Test
  void stat() throws Exception {
    fuzz(
        read("stat"),
        text -> {
          var stat = TaskStat.parse(text);
          stat.name();
          stat.state();
          stat.parent();
          stat.terminal();
          stat.startTicks();
          stat.exitCode();
        });
  }

  @Test
  void status() throws Exception {
    fuzz(
        read("status"),
        text -> {
          var status = TaskStatus.parse(text);
          status.state();
          status.parent();
          status.uid();
          status.innermost("NSpid");
          status.ids("Groups");
          status.set("SigBlk");
          status.number("NoNewPrivs");
          status.voluntarySwitches();
        });
  }

  @Test
  void limits() throws Exception {
    fuzz(read("limits"), ResourceLimits::parse);
  }

  @Test
  void timers() {
    fuzz("ID: 0\nsignal: 60/00007ffdb7d2c800\nnotify: signal/pid.2634\nClockID: 0\nID: 1\nsignal: 0/0\nnotify: none/tid.7\nClockID: 1\n", PosixTimers::parse);
  }

  @Test
  void maps() throws Exception {
    fuzz(read("maps"), text -> Maps.parse(text.getBytes(java.nio.charset.StandardCharsets.ISO_8859_1)));
  }

  @Test
  void smaps() throws Exception {
    String all = read("smaps");
    fuzz(all.substring(0, Math.min(20_000, all.length())), text -> VmFlags.parse(text.getBytes(java.nio.charset.StandardCharsets.ISO_8859_1)));
  }
}
