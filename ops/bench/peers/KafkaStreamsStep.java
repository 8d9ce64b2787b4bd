import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Properties;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * The reference step on Kafka Streams: exactly_once_v2, one thread. Runs until SIGTERM.
 *
 * <p>Arguments: BROKERS GROUP INPUT OUTPUT CHANGELOG DIRECTORY COMMIT_INTERVAL_MS AVRO_DIRECTORY STORE, where STORE
 * is memory, memory-cached, rocksdb or rocksdb-cached. The changelog is the one Kafka Streams makes.
 */
public final class KafkaStreamsStep {
  private static final String STORE = "members";
  private static final int HEAD_BYTES = 5;
  private static final byte[] REWARD_HEAD = {0, 0, 0, 0, 2};

  public static void main(String[] arguments) throws IOException {
    Path avro = Path.of(arguments[7]);
    Schema payment = new Schema.Parser().parse(avro.resolve("Payment.1.avsc").toFile());
    Schema reward = new Schema.Parser().parse(avro.resolve("Reward.1.avsc").toFile());
    Topology topology = topology(arguments[2], arguments[3], arguments[8], payment, reward);
    KafkaStreams streams = new KafkaStreams(topology, settings(arguments));
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
    streams.start();
  }

  private static Properties settings(String[] arguments) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", arguments[0]);
    settings.put("application.id", arguments[1]);
    settings.put("state.dir", arguments[5]);
    settings.put("commit.interval.ms", arguments[6]);
    settings.put("processing.guarantee", "exactly_once_v2");
    settings.put("num.stream.threads", "1");
    settings.put("replication.factor", "1");
    settings.put("auto.offset.reset", "earliest");
    settings.put("statestore.cache.max.bytes", String.valueOf(64 << 20));
    settings.put("consumer.max.poll.records", "4000");
    settings.put("producer.linger.ms", "50");
    settings.put("producer.batch.size", "262144");
    settings.put("producer.buffer.memory", String.valueOf(64 << 20));
    return settings;
  }

  private static Topology topology(String input, String output, String store, Schema payment, Schema reward) {
    ByteArrayDeserializer bytes = new ByteArrayDeserializer();
    return new Topology()
        .addSource("payments", bytes, bytes, input)
        .addProcessor("reward", () -> new Rewarding(payment, reward), "payments")
        .addStateStore(members(store), "reward")
        .addSink("rewards", output, new ByteArraySerializer(), new ByteArraySerializer(), "reward");
  }

  private static StoreBuilder<KeyValueStore<byte[], byte[]>> members(String store) {
    KeyValueBytesStoreSupplier supplier =
        store.startsWith("memory") ? Stores.inMemoryKeyValueStore(STORE) : Stores.persistentKeyValueStore(STORE);
    StoreBuilder<KeyValueStore<byte[], byte[]>> builder =
        Stores.keyValueStoreBuilder(supplier, Serdes.ByteArray(), Serdes.ByteArray());
    return store.endsWith("-cached") ? builder.withCachingEnabled() : builder.withCachingDisabled();
  }

  /** Count and sum by member, one output a payment; every buffer and record is used again. */
  private static final class Rewarding implements Processor<byte[], byte[], byte[], byte[]> {
    private final GenericDatumReader<GenericRecord> reader;
    private final GenericDatumWriter<GenericRecord> writer;
    private final GenericRecord made;
    private final ByteArrayOutputStream out = new ByteArrayOutputStream(256);
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<byte[], byte[]> members;
    private BinaryDecoder decoder;
    private BinaryEncoder encoder;
    private GenericRecord payment;

    Rewarding(Schema payment, Schema reward) {
      GenericData data = new GenericData();
      data.setFastReaderEnabled(true);
      reader = new GenericDatumReader<>(payment, payment, data);
      writer = new GenericDatumWriter<>(reward, data);
      made = new GenericData.Record(reward);
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> given) {
      context = given;
      members = given.getStateStore(STORE);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      try {
        byte[] value = record.value();
        decoder = DecoderFactory.get().binaryDecoder(value, HEAD_BYTES, value.length - HEAD_BYTES, decoder);
        payment = reader.read(payment, decoder);
        long amount = (Long) payment.get(3);
        byte[] row = members.get(record.key());
        long count = 1;
        long total = amount;
        if (row != null) {
          ByteBuffer before = ByteBuffer.wrap(row);
          count += before.getLong();
          total += before.getLong();
        }
        members.put(record.key(), ByteBuffer.allocate(16).putLong(count).putLong(total).array());
        context.forward(record.withValue(reward(amount, total, count)));
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }

    private byte[] reward(long amount, long total, long count) throws IOException {
      made.put(0, payment.get(0));
      made.put(1, payment.get(1));
      made.put(2, amount);
      made.put(3, amount / 100);
      made.put(4, total);
      made.put(5, count);
      made.put(6, payment.get(5));
      out.reset();
      out.write(REWARD_HEAD);
      encoder = EncoderFactory.get().binaryEncoder(out, encoder);
      writer.write(made, encoder);
      encoder.flush();
      return out.toByteArray();
    }
  }
}
