package io.gantry.checkpoint.linux;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.linux.PosixQueue.Notification;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class PosixQueueTest {
  @Test
  void whoIsToldIsRead() {
    assertThat(PosixQueue.parse("QSIZE:129        NOTIFY:2     SIGNO:0     NOTIFY_PID:8260  \n")).isEqualTo(new Notification(Notification.THREAD, 0, 8260));
    assertThat(PosixQueue.parse("QSIZE:0          NOTIFY:0     SIGNO:34    NOTIFY_PID:7     \n")).isEqualTo(new Notification(Notification.SIGNAL, 34, 7));
    assertThat(PosixQueue.parse("QSIZE:0          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n").pid()).isZero();
  }

  @ParameterizedTest
  @CsvSource({"9, true", "17, false", "18, true", "19, true", "22, true", "23, false", "10, false", "34, false"})
  void signalsThatActWhenTheyAreSentAreKnown(int signal, boolean acts) {
    assertThat(new Notification(Notification.SIGNAL, signal, 7).actsAtOnce()).isEqualTo(acts);
    assertThat(new Notification(Notification.SIGNAL, signal, 0).actsAtOnce()).isFalse();
    assertThat(new Notification(Notification.NONE, signal, 7).actsAtOnce()).isFalse();
  }
}
