package io.gantry.checkpoint.procfs;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import org.junit.jupiter.api.Test;

class TaskFilesTest {
  @Test
  void statusFieldsAreFoundAtTheBeginningOfLinesOnly() {
    var status =
        TaskStatus.parse("Name:\tPid: 9\nState:\tS (sleeping)\nPid:\t7\nUid:\t1\t4294967294\t3\t4\nGroups:\t \nNSpid:\t77\t7\nSigBlk:\tffffffffffffffff\n");
    assertThat(status.text("Name")).isEqualTo("Pid: 9");
    assertThat(status.number("Pid")).isEqualTo(7);
    assertThat(status.state()).isEqualTo('S');
    assertThat(status.ids("Uid")).containsExactly(1, -2, 3, 4);
    assertThat(status.ids("Groups")).isEmpty();
    assertThat(status.innermost("NSpid")).isEqualTo(7);
    assertThat(status.set("SigBlk")).isEqualTo(-1);
    assertThat(status.text("Missing")).isEmpty();
    assertThat(status.number("Missing")).isZero();
  }

  @Test
  void statIsReadAroundANameThatLooksLikeTheRest() {
    var fields = new StringBuilder("12 (a) S (b) Z 3 12 12 1025");
    for (int field = 8; field <= 52; field++) {
      fields.append(' ').append(field);
    }
    var stat = TaskStat.parse(fields.toString());
    assertThat(stat.name()).isEqualTo("a) S (b");
    assertThat(stat.state()).isEqualTo('Z');
    assertThat(stat.parent()).isEqualTo(3);
    assertThat(stat.terminal()).isEqualTo(1025);
    assertThat(stat.startTicks()).isEqualTo(22);
    assertThat(stat.exitCode()).isEqualTo(52);
  }

  @Test
  void timersAreReadWithWhomTheyTell() {
    var timers =
        PosixTimers.parse(
            "ID: 3\nsignal: 60/00007fff86e452a8\nnotify: signal/tid.2634\nClockID: 0\n"
                + "ID: 0\nsignal: 0/0000000000000000\nnotify: none/pid.2633\nClockID: -6\n");
    assertThat(timers)
        .containsExactly(
            new PosixTimers.Timer(3, 60, 0x7fff86e452a8L, 4, 2634, 0), new PosixTimers.Timer(0, 0, 0, 1, 2633, -6));
  }

  @Test
  void limitsComeInTheOrderOfTheirNumbers() throws NoSuchFileException {
    var limits = ResourceLimits.of((int) ProcessHandle.current().pid());
    assertThat(limits).hasSize(16);
    // RLIMIT_NOFILE is 7 and never unlimited.
    assertThat(limits.get(7).hard()).isPositive();
  }

  @Test
  void processThatIsGoneIsNoFile() {
    assertThatThrownBy(() -> TaskStatus.ofProcess(0x7fff_fff0)).isInstanceOf(NoSuchFileException.class);
  }

  @Test
  void aMappingThatGrewBetweenTwoPiecesOfTheListIsTakenAsItIsNow() {
    var mappings = new ArrayList<Maps.Mapping>();
    Maps.add(mappings, mapping(0x1000, 0x3000));
    Maps.add(mappings, mapping(0x3000, 0x5000));
    Maps.add(mappings, mapping(0x3000, 0x8000));
    Maps.add(mappings, mapping(0xffffffffff600000L, 0xffffffffff601000L));
    assertThat(mappings)
        .containsExactly(mapping(0x1000, 0x3000), mapping(0x3000, 0x8000), mapping(0xffffffffff600000L, 0xffffffffff601000L));
  }

  private static Maps.Mapping mapping(long start, long end) {
    return new Maps.Mapping(start, end, Maps.READ, false, 0, 0, 0, "");
  }
}
