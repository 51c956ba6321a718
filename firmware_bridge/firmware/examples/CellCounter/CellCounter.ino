// Counts the cells of each class on any Arduino with a serial port, and flashes its light for each.
// The counts live in RAM: a reset loses them, and this sketch tells the host so (RAM_ONLY).

#include <EdgeWbcLink.h>

static ewbc_link instrument;
uint32_t counts[EWBC_COUNTED_LABELS + 1];  // of label 1, 2, 3 …; unidentified ones at 0

static bool apply(void *, uint32_t, const ewbc_message *message) {
  if (message->type == EWBC_TYPE_CELL_RESULT) {
    const uint8_t label = message->as.cell.label;
    counts[label == EWBC_LABEL_UNIDENTIFIED ? 0 : label]++;
    digitalWrite(LED_BUILTIN, !digitalRead(LED_BUILTIN));
  }
  return true;
}

static bool startStream(void *, uint32_t) {
  return true;
}

static void writeBytes(void *, const uint8_t *data, uint8_t length) {
  Serial.write(data, length);
}

static const ewbc_device device = {
  "arduino",                // unique id, 12 characters at most
  {0, 1, 0},                // version of this sketch
  EWBC_PERSISTENCE_RAM_ONLY,
  63,                       // bytes that Serial holds for us
  0,                        // capabilities
  apply,
  startStream,
  writeBytes,
};

void setup() {
  pinMode(LED_BUILTIN, OUTPUT);
  randomSeed(analogRead(A0) ^ micros());
  Serial.begin(115200);
  ewbc_link_init(&instrument, &device, NULL, random(1, 0x7FFFFFFF), 0, 0);
}

void loop() {
  if (Serial.available()) {
    ewbc_link_byte(&instrument, Serial.read());
  } else {
    ewbc_link_idle(&instrument);
  }
}
